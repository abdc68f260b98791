package mastodondb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// needed are the columns the role must be able to read.
var needed = []struct{ table, columns string }{
	{"accounts", "id, username, domain, private_key"},
	{"keypairs", "id, account_id, type, private_key, revoked, expires_at"},
}

// Report is what a look at the database found.
type Report struct {
	Name   string   // a local person whose key can be read
	ID     string   // their account id
	Grants []string // exactly what the role needs
	Wide   []string // what it may do beyond that
}

// Look proves that keys can be read: it reads and decrypts one. Grants is there
// even with an error, when the database could be asked.
func (s *Source) Look(ctx context.Context) (Report, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	l, err := s.layout(ctx)
	if err != nil {
		return Report{}, err
	}
	var r Report
	if r.Grants, err = s.grants(ctx, l); err != nil {
		return r, err
	}
	if r.Wide, err = s.wide(ctx, l); err != nil {
		return r, err
	}
	var id int64
	if id, r.Name, err = s.somebody(ctx, l); err != nil {
		return r, err
	}
	r.ID = fmt.Sprint(id)
	_, err = s.read(ctx, l, id)
	return r, err
}

// somebody is a local person with a key; the instance's own actor has a negative id.
func (s *Source) somebody(ctx context.Context, l layout) (id int64, name string, err error) {
	has := "private_key <> ''"
	if l.keypairs {
		has = "EXISTS (SELECT FROM keypairs k WHERE k.account_id = accounts.id AND k.type = 0 AND k.private_key IS NOT NULL)"
		if l.accounts {
			has += " OR private_key <> ''"
		}
	}
	err = s.pool.QueryRow(ctx, "SELECT id, username FROM accounts WHERE domain IS NULL AND id > 0 AND ("+has+") ORDER BY id LIMIT 1").Scan(&id, &name)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, "", fmt.Errorf("%w: nobody in it has a private key", ErrTables)
	}
	if err != nil {
		return 0, "", named(err)
	}
	return id, name, nil
}

func columnsOf(l layout, table, columns string) string {
	switch {
	case table == "keypairs" && !l.keypairs:
		return ""
	case table == "accounts" && !l.accounts:
		return strings.TrimSuffix(columns, ", private_key")
	}
	return columns
}

func (s *Source) grants(ctx context.Context, l layout) ([]string, error) {
	var role string
	if err := s.pool.QueryRow(ctx, "SELECT quote_ident(current_user)").Scan(&role); err != nil {
		return nil, named(err)
	}
	var list []string
	for _, n := range needed {
		if columns := columnsOf(l, n.table, n.columns); columns != "" {
			list = append(list, "GRANT SELECT ("+columns+") ON "+n.table+" TO "+role+";")
		}
	}
	return list, nil
}

// wide lists the tables the role can change, or read more of than it needs.
func (s *Source) wide(ctx context.Context, l layout) ([]string, error) {
	var may []string
	for _, n := range needed {
		for column := range strings.SplitSeq(columnsOf(l, n.table, n.columns), ", ") {
			may = append(may, n.table+"."+column)
		}
	}
	rows, err := s.pool.Query(ctx, `SELECT DISTINCT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relkind IN ('r', 'p', 'v', 'm') AND c.relnamespace = current_schema()::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
		AND (has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') OR has_any_column_privilege(c.oid, 'INSERT, UPDATE')
			OR has_column_privilege(c.oid, a.attnum, 'SELECT') AND NOT c.relname || '.' || a.attname = ANY (string_to_array($1, ' ')))
		ORDER BY 1`, strings.Join(may, " "))
	if err != nil {
		return nil, named(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, named(err)
	}
	return list, nil
}
