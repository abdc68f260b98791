package storage_test

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

// TestRotationIsInterrupted: at whatever moment, the key that holds is found, and the one before is kept.
func TestRotationIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	o, path, now := options(filepath.Join(dir, "store")), filepath.Join(dir, "store.key"), time.Now()
	o.Clock = func() time.Time { return now }
	opened := func() *storage.Store {
		t.Helper()
		s, err := storage.OpenFile(o, path)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	has := func(name, want string) {
		t.Helper()
		if text, err := os.ReadFile(name); err != nil || string(text) != want {
			t.Errorf("%s is another one, %v", filepath.Base(name), err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := opened()
	appendOne(t, s, inboxtest.Sample("bob", 1))
	closeStore(t, s)
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	next := hex.EncodeToString(key(9)) + "\n"
	write(path+".next", next) // made, and the store has not got it
	s = opened()
	has(path, string(first))
	if err := s.RotateKey(t.Context(), key(9)[1:]); !errors.Is(err, storage.ErrKey) {
		t.Errorf("31 bytes: %v", err)
	}
	if err := s.RotateKey(t.Context(), key(9)); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s) // the store has it, and the file has not its name

	s = opened()
	has(path, next)
	former, err := filepath.Glob(path + ".until-*")
	if err != nil || len(former) != 1 {
		t.Fatal(former, err)
	}
	has(former[0], string(first))
	if _, err := os.Stat(path + ".next"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the next key is still there: %v", err)
	}
	write(path+".next", hex.EncodeToString(key(8))) // of a rotation that never reached the store
	second, err := s.RotateKeyFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	has(former[0], string(first)) // though it is the same second
	has(second, next)
	if third, err := os.ReadFile(path); err != nil || string(third) == next || string(third) == hex.EncodeToString(key(8)) {
		t.Errorf("the key file has %q, %v", third, err)
	}
	closeStore(t, s)
	s = opened()
	if es := everything(t, s); len(es) != 1 {
		t.Errorf("%d messages", len(es))
	}
	closeStore(t, s)
	refusesFile := func(says string) {
		t.Helper()
		if _, err := storage.OpenFile(o, path); !errors.Is(err, storage.ErrKey) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	write(path, hex.EncodeToString(key(3)))
	refusesFile("does not open")
	write(path+".next", "no key")
	refusesFile(path + ".next")
	write(path+".next", hex.EncodeToString(key(4)))
	refusesFile("does not open")
	has(path, hex.EncodeToString(key(3)))
}

// TestRotationNeedsRoom: what closes the engine writes a table, and without room for it the process would die.
func TestRotationNeedsRoom(t *testing.T) {
	o := options(t.TempDir())
	s := open(t, o)
	appendOne(t, s, inboxtest.Sample("bob", 1))
	s.SetFree(func() int64 { return 0 })
	if err := s.RotateKey(t.Context(), key(9)); !errors.Is(err, inbox.ErrUnavailable) || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("on a full disk: %v", err)
	}
	s.SetFree(func() int64 { return 1 << 40 })
	closeStore(t, s)
	if es := everything(t, open(t, o)); len(es) != 1 {
		t.Errorf("%d messages under the former key", len(es))
	}
}

// TestTheWrongKeyChangesNothing: not even what says that the store was closed.
func TestTheWrongKeyChangesNothing(t *testing.T) {
	o := options(t.TempDir())
	s := open(t, o)
	appendOne(t, s, inboxtest.Sample("bob", 1))
	closeStore(t, s)
	dir := os.DirFS(o.Path)
	had, err := fs.Glob(dir, "*")
	if err != nil || !slices.Contains(had, "CLOSED") {
		t.Fatal(had, err)
	}
	wrong := o
	wrong.Key = key(2)
	refuses(t, wrong, storage.ErrKey, "storage.encryption_key")
	if has, err := fs.Glob(dir, "*"); err != nil || !slices.Equal(has, had) {
		t.Errorf("%q became %q, %v", had, has, err)
	}
}

// TestRotationsAtOnce: each makes a key of its own, one after the other, and the last of them opens the store.
func TestRotationsAtOnce(t *testing.T) {
	o := options(t.TempDir())
	path := filepath.Join(t.TempDir(), "key")
	s, err := storage.OpenFile(o, path)
	if err != nil {
		t.Fatal(err)
	}
	appendOne(t, s, inboxtest.Sample("bob", 1))
	const many = 4
	var rotations errgroup.Group
	for range many {
		rotations.Go(func() error {
			_, err := s.RotateKeyFile(t.Context(), path)
			return err
		})
	}
	if err := rotations.Wait(); err != nil {
		t.Error(err)
	}
	closeStore(t, s)
	if s, err = storage.OpenFile(o, path); err != nil {
		t.Fatal(err)
	}
	if es := everything(t, s); len(es) != 1 {
		t.Errorf("%d messages", len(es))
	}
	closeStore(t, s)
	keys := map[string]bool{}
	files, err := filepath.Glob(path + "*")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		keys[string(text)] = true
	}
	if err != nil || len(keys) != many+1 {
		t.Errorf("%d keys in %q, %v", len(keys), files, err)
	}
}

// TestTheNextKeyThatHolds: a rotation that could not give the key its name leaves the only copy of it to the next one.
func TestTheNextKeyThatHolds(t *testing.T) {
	o := options(t.TempDir())
	path := filepath.Join(t.TempDir(), "key")
	s, err := storage.OpenFile(o, path)
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	next := hex.EncodeToString(key(9))
	if err := os.WriteFile(path+".next", []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.RotateKey(t.Context(), key(9)); err != nil {
		t.Fatal(err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := s.RotateKeyFile(ended, path); !errors.Is(err, context.Canceled) {
		t.Errorf("given up before it begins: %v", err)
	}
	if text, err := os.ReadFile(path + ".next"); err != nil || string(text) != next {
		t.Errorf("the next key: %q, %v", text, err)
	}
	former, err := s.RotateKeyFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(former); err != nil || string(text) != next {
		t.Errorf("the former key: %q, %v", text, err)
	}
}
