package storage_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sealgate/sealgate/storage"
)

func TestKeyIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	path, store := filepath.Join(dir, "data", "store.key"), filepath.Join(dir, "data", "store")
	keys := make([][]byte, 16)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], err = storage.LoadOrCreateKey(path, store); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range keys {
		if len(k) != storage.KeySize || !bytes.Equal(k, keys[0]) {
			t.Fatalf("keys differ or have %d bytes", len(k))
		}
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "data", ".key-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestKeyIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.key")
	o := options(filepath.Join(dir, "store"))
	var err error
	if o.Key, err = storage.LoadOrCreateKey(path, o.Path); err != nil {
		t.Fatal(err)
	}
	closeStore(t, open(t, o))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err = storage.LoadOrCreateKey(path, o.Path)
	if !errors.Is(err, storage.ErrKeyMissing) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "storage.encryption_key") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key was made: %v", err)
	}
}

func TestParseKey(t *testing.T) {
	want := key(0xfe)
	good := []string{
		hex.EncodeToString(want),
		strings.ToUpper(hex.EncodeToString(want)) + "\r\n",
		base64.StdEncoding.EncodeToString(want),
		base64.RawURLEncoding.EncodeToString(want) + "\n",
	}
	for _, text := range good {
		if got, err := storage.ParseKey(text); err != nil || !bytes.Equal(got, want) {
			t.Errorf("ParseKey(%q): %v", text, err)
		}
	}
	for _, text := range []string{"", "secret", hex.EncodeToString(want[1:]), hex.EncodeToString(want) + "00"} {
		if _, err := storage.ParseKey(text); !errors.Is(err, storage.ErrKey) || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("ParseKey(%q): %v", text, err)
		}
	}
}
