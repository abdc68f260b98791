// Package mastodondb is the signing source mastodon-database: it reads local
// people's private keys from Mastodon's PostgreSQL, with a role that may read
// nothing else.
//
// Up to Mastodon 4.6 they are accounts.private_key, in PEM. 4.7 has them in
// keypairs.private_key, in ActiveRecord encryption. Which of the two is asked of
// the database each time, so that an upgrade needs no restart. It never writes,
// and no error of it has a password or a key.
package mastodondb

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sealgate/sealgate/relay/outbox"
)

const (
	askTime     = 5 * time.Second // for one key
	connections = 4
)

// The errors of a source. Each has the configuration key that cures it.
var (
	ErrURL     = errors.New("signing.database is no postgres:// address")
	ErrRefused = errors.New("signing.database: the server refuses the role or its password")
	ErrDown    = errors.New("signing.database: the server does not answer")
	ErrRights  = errors.New("signing.database: the role may not read the keys")
	ErrTables  = errors.New("signing.database: this is not a Mastodon database")
)

// Options of a Source. PrimaryKey and Salt are ACTIVE_RECORD_ENCRYPTION_PRIMARY_KEY
// and …_KEY_DERIVATION_SALT; they are empty up to Mastodon 4.6.
type Options struct {
	URL              string
	PrimaryKey, Salt string
}

// Source implements outbox.Keys. It is safe for concurrent use.
type Source struct {
	pool   *pgxpool.Pool
	cipher *decrypter // nil without a primary key
}

// New returns a source that connects when it is first asked.
func New(o Options) (*Source, error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, ErrURL // the error of pgx quotes the address
	}
	config.MaxConns = connections
	config.ConnConfig.ConnectTimeout = askTime
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec // PgBouncer keeps no prepared statements
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, ErrURL
	}
	s := &Source{pool: pool}
	if o.PrimaryKey != "" {
		if s.cipher, err = newDecrypter(o.PrimaryKey, o.Salt); err != nil {
			pool.Close()
			return nil, err
		}
	}
	return s, nil
}

// Close ends its connections.
func (s *Source) Close() { s.pool.Close() }

// Key implements outbox.Keys. Its errors wrap outbox.ErrNoKey and say what is wrong.
func (s *Source) Key(ctx context.Context, who outbox.Sender) (crypto.Signer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	id, err := strconv.ParseInt(who.Account, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%w: the account's id is none of Mastodon", outbox.ErrNoKey)
	}
	l, err := s.layout(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", outbox.ErrNoKey, err)
	}
	return s.read(ctx, l, id)
}

// layout says where this version of Mastodon has its keys.
type layout struct{ accounts, keypairs bool }

func (s *Source) layout(ctx context.Context) (layout, error) {
	var l layout
	err := s.pool.QueryRow(ctx, `SELECT
		EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('accounts') AND attname = 'private_key' AND NOT attisdropped),
		to_regclass('keypairs') IS NOT NULL`).Scan(&l.accounts, &l.keypairs)
	if err != nil {
		return l, named(err)
	}
	if !l.accounts && !l.keypairs {
		return l, ErrTables
	}
	return l, nil
}

// read takes the key pair of 4.7, and the account's own where there is none.
func (s *Source) read(ctx context.Context, l layout, id int64) (crypto.Signer, error) {
	for _, from := range []struct {
		there bool
		query string
	}{
		{l.keypairs, `SELECT k.private_key FROM keypairs k JOIN accounts a ON a.id = k.account_id
			WHERE a.id = $1 AND a.domain IS NULL AND k.type = 0 AND NOT k.revoked AND k.private_key IS NOT NULL
			AND (k.expires_at IS NULL OR k.expires_at > now() AT TIME ZONE 'UTC') ORDER BY k.id LIMIT 1`},
		{l.accounts, `SELECT private_key FROM accounts WHERE id = $1 AND domain IS NULL AND private_key <> ''`},
	} {
		if !from.there {
			continue
		}
		var text string
		err := s.pool.QueryRow(ctx, from.query, id).Scan(&text)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", outbox.ErrNoKey, named(err))
		}
		return s.open(text)
	}
	return nil, fmt.Errorf("%w: the database has none for this account", outbox.ErrNoKey)
}

// open decrypts what is encrypted and reads the PEM.
func (s *Source) open(text string) (crypto.Signer, error) {
	if text != "" && text[0] == '{' {
		plain, err := s.cipher.open(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", outbox.ErrNoKey, err)
		}
		text = string(plain)
	}
	return outbox.ReadPEM([]byte(text))
}

// named says in the operator's words what PostgreSQL answers (Appendix A of its manual).
func named(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return fmt.Errorf("%w: %w", ErrDown, err)
	}
	switch pg.Code {
	case "28P01", "28000":
		return fmt.Errorf("%w: %s", ErrRefused, pg.Message)
	case "42501":
		return fmt.Errorf("%w: %s; sealgate check prints the GRANTs", ErrRights, pg.Message)
	case "3D000", "42P01", "42703":
		return fmt.Errorf("%w: %s", ErrTables, pg.Message)
	}
	return fmt.Errorf("%w: %s", ErrDown, pg.Message)
}
