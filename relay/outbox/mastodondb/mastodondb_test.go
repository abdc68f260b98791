package mastodondb_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/relay/outbox/mastodondb"
)

// cluster starts PostgreSQL on a unix socket and returns the superuser's address.
func cluster(t *testing.T) (address func(role string) string, stop func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg") //nolint:usetesting // postgres must reach it, and a socket path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	run := func(args ...string) error {
		if os.Getuid() == 0 {
			args = append([]string{"runuser", "-u", "postgres", "--"}, args...)
		}
		c := exec.Command(args[0], args[1:]...)
		c.Dir = "/"
		return c.Run()
	}
	if os.Getuid() == 0 {
		if out, err := exec.CommandContext(t.Context(), "chown", "postgres", dir).CombinedOutput(); err != nil {
			t.Fatalf("chown: %v %s", err, out)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if len(found) == 0 {
		t.Fatal("PostgreSQL is missing: run .ci/peers.sh")
	}
	bin, data := found[0], filepath.Join(dir, "data")
	hba := "local all postgres trust\nlocal all all scram-sha-256\n"
	if err := run(bin+"/initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"); err != nil {
		t.Fatalf("initdb: %v", err)
	}
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		t.Fatal(err)
	}
	start := []string{bin + "/pg_ctl", "-D", data, "-w", "-l", filepath.Join(dir, "log"), "-o", "-c listen_addresses= -c fsync=off -k " + dir}
	if err := run(append(start, "start")...); err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	stop = func() { _ = run(bin+"/pg_ctl", "-D", data, "-m", "immediate", "-w", "stop") }
	t.Cleanup(stop)
	return func(role string) string { return "postgres://" + role + "@/postgres?host=" + dir }, stop
}

func sql(t *testing.T, address, text string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if _, err := c.Exec(t.Context(), text, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func newKey(t *testing.T) (*rsa.PrivateKey, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

func seal(t *testing.T, text string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "ruby", append([]string{"testdata/seal.rb"}, args...)...)
	c.Stdin = strings.NewReader(text)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("ruby: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func open(t *testing.T, o mastodondb.Options) *mastodondb.Source {
	t.Helper()
	s, err := mastodondb.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// TestDatabase goes from Mastodon 4.6 to 4.7 and through everything that is set wrong.
func TestDatabase(t *testing.T) {
	address, stop := cluster(t)
	super, role := address("postgres"), address("sealgate:hunter2")
	old, text := newKey(t)
	sql(t, super, `CREATE TABLE accounts (id bigint PRIMARY KEY, username text, domain text, private_key text, public_key text);
		INSERT INTO accounts VALUES (7, 'alice', NULL, '`+text+`', ''), (8, 'far', 'far.example', NULL, '');
		CREATE ROLE sealgate LOGIN PASSWORD 'hunter2'`)
	plain := open(t, mastodondb.Options{URL: role})
	wants := func(s *mastodondb.Source, want crypto.Signer) {
		t.Helper()
		got, err := s.Key(t.Context(), outbox.Sender{Account: "7"})
		if err != nil || !want.Public().(*rsa.PublicKey).Equal(got.Public()) {
			t.Errorf("key: %v", err)
		}
	}
	fails := func(s *mastodondb.Source, want error) {
		t.Helper()
		_, err := s.Look(t.Context())
		if _, again := s.Key(t.Context(), outbox.Sender{Account: "7"}); !errors.Is(err, want) || !errors.Is(again, want) || !errors.Is(again, outbox.ErrNoKey) ||
			strings.Contains(err.Error()+again.Error(), "hunter2") {
			t.Errorf("%v; %v; want %v", err, again, want)
		}
	}
	fails(plain, mastodondb.ErrRights)
	fails(open(t, mastodondb.Options{URL: address("sealgate:wrong")}), mastodondb.ErrRefused)
	granted := func() mastodondb.Report {
		t.Helper()
		r, _ := plain.Look(t.Context())
		sql(t, super, strings.Join(r.Grants, ""))
		r, _ = plain.Look(t.Context())
		return r
	}
	if r := granted(); r.Name != "alice" || len(r.Wide) != 0 {
		t.Errorf("%+v", r)
	}
	wants(plain, old)
	if _, err := plain.Key(t.Context(), outbox.Sender{Account: "8"}); !errors.Is(err, outbox.ErrNoKey) {
		t.Errorf("of an account elsewhere: %v", err)
	}
	fresh, text := newKey(t)
	sql(t, super, `UPDATE accounts SET private_key = '`+text+`' WHERE id = 7`)
	wants(plain, fresh)

	// 4.7
	first, one := newKey(t)
	second, two := newKey(t)
	sql(t, super, `CREATE TABLE keypairs (id bigint PRIMARY KEY, account_id bigint, uri text, type int NOT NULL, public_key text, private_key text, expires_at timestamp, revoked boolean NOT NULL DEFAULT false);
		INSERT INTO keypairs VALUES (1, 7, 'a', 0, '', 'x', NULL, true), (2, 7, 'b', 0, '', 'x', '2020-01-01', false), (3, 7, 'c', 1, '', 'x', NULL, false),
		(4, 7, 'd', 0, '', '`+seal(t, one, "primary", "salt")+`', NULL, false), (5, 7, 'e', 0, '', '`+seal(t, two, "primary", "salt", "c")+`', NULL, false)`)
	fails(plain, mastodondb.ErrRights)
	granted()
	fails(plain, mastodondb.ErrEncrypted)
	fails(open(t, mastodondb.Options{URL: role, PrimaryKey: "other", Salt: "salt"}), mastodondb.ErrEncryption)
	sealed := open(t, mastodondb.Options{URL: role, PrimaryKey: "primary", Salt: "salt"})
	wants(sealed, first)
	sql(t, super, `UPDATE keypairs SET revoked = true WHERE id = 4`)
	wants(sealed, second)

	sql(t, super, `CREATE TABLE statuses (id bigint); GRANT SELECT ON statuses TO sealgate; GRANT UPDATE ON accounts TO sealgate`)
	if r, err := sealed.Look(t.Context()); err != nil || strings.Join(r.Wide, " ") != "accounts statuses" {
		t.Errorf("%+v %v", r, err)
	}
	stop()
	fails(sealed, mastodondb.ErrDown)
	if _, err := mastodondb.New(mastodondb.Options{URL: "postgres://u:hunter2@h:x/d"}); !errors.Is(err, mastodondb.ErrURL) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a bad address: %v", err)
	}
}
