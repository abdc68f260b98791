package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/relay"
)

// TestCheckJudgesTheProxyInFront: what only a proxy that does TLS must say is not missed where the gateway does TLS.
func TestCheckJudgesTheProxyInFront(t *testing.T) {
	for mode, wrong := range map[string]int{"off": 2, "files": 0, "acme": 0} {
		c := newChecker(configs.Config{Domain: "social.example", TLS: configs.TLS{Mode: mode}})
		c.proxy(relay.Seen{Host: "social.example", Forwarded: "no", CacheControl: "no-store"}, http.Header{"Cache-Control": {"no-store"}})
		if len(c.findings) != wrong {
			t.Errorf("tls.mode %s: %+v", mode, c.findings)
		}
	}
}

// TestCheckNamesWhatEverybodyReads: a secret is named when neither its mode nor that of a directory above it keeps others out.
func TestCheckNamesWhatEverybodyReads(t *testing.T) {
	above := t.TempDir()
	below := filepath.Join(above, "keys")
	key := filepath.Join(below, "store.key")
	mode := func(path string, m os.FileMode) {
		t.Helper()
		if err := os.Chmod(path, m); err != nil {
			t.Fatal(err)
		}
	}
	mode(filepath.Dir(above), 0o755)
	mode(above, 0o755)
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := newChecker(configs.Config{Storage: configs.Storage{
		Path: filepath.Join(above, "store"), EncryptionKey: configs.NewSecret("file:" + key),
	}})
	for _, one := range []struct {
		file, directory, top os.FileMode
		named                bool
	}{
		{0o600, 0o755, 0o755, false},
		{0o640, 0o755, 0o755, false},
		{0o644, 0o755, 0o755, true},
		{0o644, 0o711, 0o711, true},
		{0o644, 0o750, 0o755, false},
		{0o644, 0o755, 0o700, false},
	} {
		mode(key, one.file)
		mode(below, one.directory)
		mode(above, one.top)
		c.findings = nil
		c.secrets()
		named := len(c.findings) == 1 && c.findings[0].About == "storage.encryption_key" && strings.HasSuffix(c.findings[0].Cure, key)
		if named != one.named || len(c.findings) > 1 {
			t.Errorf("%+v: found %+v", one, c.findings)
		}
	}
}
