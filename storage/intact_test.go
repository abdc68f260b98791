package storage_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

// TestADamagedStoreIsRefused: whatever file was lost or cut, the store is neither begun anew nor crashed on, the error says
// what cures it, and with the file as it was everything is there.
func TestADamagedStoreIsRefused(t *testing.T) {
	path := t.TempDir()
	s := open(t, options(path))
	appendOne(t, s, inboxtest.Sample("bob", 1))
	closeStore(t, s)
	f := func(want error, what, pattern string, harm func([]byte) []byte) {
		t.Helper()
		names, err := filepath.Glob(filepath.Join(path, pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("no %s, %v", pattern, err)
		}
		former, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		if left := harm(former); left == nil {
			err = os.Remove(names[0])
		} else {
			err = os.WriteFile(names[0], left, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		s, err := storage.Open(options(path))
		if err == nil {
			closeStore(t, s)
			t.Fatalf("%s: opened", what)
		}
		if (want != nil && !errors.Is(err, want)) || !strings.Contains(err.Error(), "restore the last backup") || !strings.Contains(err.Error(), "storage.path") {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		if err := os.WriteFile(names[0], former, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gone := func([]byte) []byte { return nil }
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	empty := func([]byte) []byte { return []byte{} }
	flipped := func(back int) func([]byte) []byte {
		return func(b []byte) []byte {
			b = append([]byte(nil), b...)
			b[len(b)-back] ^= 0xff
			return b
		}
	}
	record := func(b []byte) int { return 8 + int(binary.BigEndian.Uint32(b)) }
	f(storage.ErrDamaged, "manifest gone", "MANIFEST", gone)
	f(storage.ErrDamaged, "manifest cut to its head", "MANIFEST", func(b []byte) []byte { return b[:8] })
	f(storage.ErrDamaged, "manifest cut after a record", "MANIFEST", func(b []byte) []byte { return b[:8+record(b[8:])] })
	f(storage.ErrDamaged, "manifest cut within one", "MANIFEST", func(b []byte) []byte { return b[:len(b)-1] })
	f(storage.ErrDamaged, "key registry gone", "KEYREGISTRY", gone)
	f(storage.ErrDamaged, "table gone", "*.sst", gone)
	f(storage.ErrDamaged, "table cut", "*.sst", cut)
	f(storage.ErrDamaged, "table cut to nothing", "*.sst", empty)
	f(storage.ErrDamaged, "table's last lengths cut off", "*.sst", func(b []byte) []byte { return b[:len(b)-2] })
	f(storage.ErrDamaged, "table overwritten at its end", "*.sst", flipped(2))
	f(nil, "index flipped", "*.sst", flipped(100))
	f(nil, "manifest flipped", "MANIFEST", flipped(10))
	f(nil, "key registry flipped", "KEYREGISTRY", flipped(10))
	if err := os.WriteFile(filepath.Join(path, "000099.sst"), []byte("begun when the power went"), 0o600); err != nil {
		t.Fatal(err)
	}
	if es := everything(t, open(t, options(path))); len(es) != 1 {
		t.Errorf("%d messages are left", len(es))
	}
}
