package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/configs"
)

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
