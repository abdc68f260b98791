package configs_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/configs"
)

func TestEveryKeyHasAVariable(t *testing.T) {
	seen := map[string]bool{}
	for _, key := range configs.Keys() {
		name := "SEALGATE_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
		if seen[name] {
			t.Errorf("%s names two keys", name)
		}
		seen[name] = true
		_, err := configs.Load("testdata/good/minimal.yaml", env(name, "\x01"))
		if err == nil || !strings.Contains(err.Error(), name+": "+key+": ") {
			t.Errorf("%s does not set %s: %v", name, key, err)
		}
	}
	if len(seen) < 50 {
		t.Errorf("%d keys", len(seen))
	}
}

func TestEnvironmentStandsAboveTheFile(t *testing.T) {
	c, err := configs.Load("testdata/good/listeners.yaml", env(
		"SEALGATE_DOMAIN", "other.example", "SEALGATE_LISTEN", " 127.0.0.1:1 , [::1]:2,", "SEALGATE_TRUSTED_PROXIES", "",
		"SEALGATE_PROXY_PROTOCOL", "off", "SEALGATE_MAILBOX_RETENTION", "2d", "SEALGATE_FEDERATION_ALLOW_PLAIN_HTTP", "true",
		"SEALGATE_LIMITS_FAILED_SIGNATURES", "3/s", "SEALGATE_LIMITS_JSON_KEYS", "2000", "SEALGATE_STORAGE_ENCRYPTION_KEY", "abc",
	))
	if err != nil {
		t.Fatal(err)
	}
	if c.Domain != "other.example" || !reflect.DeepEqual(c.Listen, []configs.Address{"127.0.0.1:1", "[::1]:2"}) || c.TrustedProxies != nil ||
		c.Mailbox.Retention != configs.Duration(48*time.Hour) || !c.Federation.AllowPlainHTTP ||
		c.Limits.FailedSignatures != (configs.Rate{Max: 3, Every: time.Second}) || c.Limits.JSONKeys != 2000 {
		t.Errorf("got %+v", c)
	}
	if key, err := c.Storage.EncryptionKey.Reveal(); key != "abc" || err != nil {
		t.Errorf("secret %q, %v", key, err)
	}
}

func TestFlagsStandAboveAll(t *testing.T) {
	dir := t.TempDir()
	lookup, err := configs.Flags{Domain: "flag.example", Listen: "127.0.0.1:7", Upstream: "http://127.0.0.1:8", Data: dir}.
		Over(env("SEALGATE_DOMAIN", "env.example", "SEALGATE_LOG_LEVEL", "warn"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := configs.Load("testdata/good/minimal.yaml", lookup)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := c.Storage.EncryptionKey.File()
	for got, want := range map[string]string{
		c.Domain: "flag.example", string(c.Listen[0]): "127.0.0.1:7", c.Upstream.Web: "http://127.0.0.1:8", c.Log.Level: "warn",
		c.Storage.Path: dir + "/store", key: dir + "/store.key", c.Admin.Socket: dir + "/admin.sock", c.TLS.ACME.Path: dir + "/acme",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSearchOrder(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := os.Stat("/etc/sealgate/sealgate.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("this machine has a Sealgate of its own")
	}
	_, err := configs.Load("", none)
	if err == nil || !strings.Contains(err.Error(), "no ./sealgate.yaml or /etc/sealgate/sealgate.yaml: domain: is missing") {
		t.Errorf("without a file: %v", err)
	}
	if c, err := configs.Load("", env("SEALGATE_DOMAIN", "env.example")); err != nil || c.Domain != "env.example" {
		t.Errorf("from the environment alone: %v", err)
	}
	if err := os.WriteFile("sealgate.yaml", []byte("domain: file.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := configs.Load("", none); err != nil || c.Domain != "file.example" {
		t.Errorf("with ./sealgate.yaml: %q, %v", c.Domain, err)
	}
	if _, err := configs.Load("missing.yaml", none); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a named file that is missing: %v", err)
	}
	if _, err := configs.Load(".", none); err == nil {
		t.Error("a directory loads")
	}
}

func TestProblemsAreTyped(t *testing.T) {
	_, err := configs.Load("testdata/bad/cross.yaml", none)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) < 9 {
		t.Fatalf("not joined: %v", err)
	}
	for _, one := range joined.Unwrap() {
		var p *configs.Problem
		if !errors.As(one, &p) || p.Key == "" || !strings.HasPrefix(p.Where, "testdata/bad/cross.yaml") || p.Example == "" {
			t.Errorf("no whole problem: %#v", p)
		}
		if strings.Contains(one.Error(), "\n") {
			t.Errorf("more than one line: %q", one)
		}
	}
}

func TestDefaultLacksOnlyTheDomain(t *testing.T) {
	err := configs.Default().Validate()
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "domain: is missing") {
		t.Errorf("got %v", err)
	}
	if err := defaults("").Validate(); err != nil {
		t.Error(err)
	}
}

func TestDomain(t *testing.T) {
	f := func(domain, want string) {
		t.Helper()
		c := configs.Default()
		c.Domain = domain
		err := c.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", domain, err, want)
		}
	}
	for _, good := range []string{
		"social.example", "a.b.c.example", "xn--bcher-kva.example", "1.example", "localhost", "localhost:80", "127.0.0.1", "127.0.0.1:8420",
		"[::1]:8420", "a.localhost", "a.localhost:81",
	} {
		f(good, "")
	}
	f("https://social.example", "scheme")
	f("social.example/", "no host")
	f("@social.example", "no host")
	f("social.example:443", "port")
	f("127.0.0.1:99999", "port")
	f("10.0.0.1:80", "port")
	f("10.0.0.1", "address")
	f("2001:db8::1", "address")
	f("Social.example", "write social.example")
	f("bücher.example", "xn--")
	f("social", "no dot")
	f("social.example.", "dot")
	f(".example", "dot")
	f("-a.example", "hyphen")
	f("a_b.example", "letters")
	f(strings.Repeat("a", 64)+".example", "longer")
	f(strings.Repeat("a.", 130)+"example", "longer")
	f("a\nb.example", "letters")
}

func TestUnknownVariables(t *testing.T) {
	err := configs.UnknownVariables([]string{
		"PATH=/bin", "SEALGATE_DOMAIN=x", "SEALGATE_VECTORS=x", "SEALGATE_UPSTREAM_WBE=x", "SEALGATE_ZZZ=hunter2",
	}, "SEALGATE_VECTORS")
	want := "SEALGATE_UPSTREAM_WBE: sets no key; did you mean SEALGATE_UPSTREAM_WEB?\nSEALGATE_ZZZ: sets no key; configs/sealgate.yaml has them all: SEALGATE_LIMITS_INTAKE sets limits.intake"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if err := configs.UnknownVariables([]string{"SEALGATE_DOMAIN=x"}); err != nil {
		t.Error(err)
	}
}

// FuzzLoad: no file panics, hangs or loads with what Validate refuses, and no message shows a secret.
func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.yaml")
	for _, file := range append(files, "sealgate.yaml", "testdata/contract.yaml") {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	file := filepath.Join(f.TempDir(), "fuzz.yaml")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := configs.Load(file, env("SEALGATE_SIGNING_REDIS", "hunter2-fuzz\x00"))
		if err == nil {
			t.Fatal("a control character loads")
		}
		if strings.Contains(err.Error(), "hunter2-fuzz") {
			t.Fatalf("secret shown: %v", err)
		}
		c, err := configs.Load(file, none)
		if err == nil && c.Validate() != nil {
			t.Fatalf("loads, and is invalid: %v", c.Validate())
		}
	})
}

func TestFilesThatAreNoConfiguration(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.yaml")
	for _, text := range []string{
		strings.Repeat("- ", 30_000), strings.Repeat("[", 10_000), strings.Repeat("{a: ", 10_000), strings.Repeat("# long\n", 20_000),
		"\x00", "\xff\xfe", "domain: \xff\xfe", "%", "<<: 1", "? [a]: b", "domain: |\n  social.example\n  x\n", "1: 2", "domain: social.example\n\tlisten: x",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := configs.Load(file, none); err == nil {
			t.Errorf("%.40q loads", text)
		}
	}
}
