package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBackup: the running gateway is copied, loses everything but its key files, and has its
// messages again after a restore; a copy of the store at rest works too.
func TestBackup(t *testing.T) {
	s := serveHere(t)
	if code, out, errs := s.command(t, "check", "--send", "bob"); code != 0 {
		t.Fatalf("check --send bob: %d\n%s%s", code, out, errs)
	}
	file := filepath.Join(t.TempDir(), "sealgate.backup")
	if code, out, errs := s.command(t, "backup", file); code != 0 || !strings.Contains(out, "read back and whole") {
		t.Fatalf("backup: %d\n%s%s", code, out, errs)
	}
	if about, err := os.Stat(file); err != nil || about.Mode().Perm() != 0o600 {
		t.Errorf("the backup's mode is %v, %v", about.Mode(), err)
	}
	if code, _, errs := s.command(t, "backup", file); code != 1 || !strings.Contains(errs, "is there already") {
		t.Errorf("a backup was overwritten: %d %s", code, errs)
	}
	if code, _, errs := s.command(t, "restore", file); code != 1 || !strings.Contains(errs, "storage.path") {
		t.Errorf("restore over a living store: %d %s", code, errs)
	}
	s.stop()
	s.end(t)

	store := filepath.Join(s.data, "data", "store")
	if err := os.Rename(store, store+".lost"); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := s.command(t, "restore", file); code != 0 || !strings.Contains(out, "start the gateway") {
		t.Fatalf("restore: %d\n%s%s", code, out, errs)
	}
	if code, _, errs := s.command(t, "backup", file+".at-rest"); code != 0 {
		t.Errorf("backup without a gateway: %d %s", code, errs)
	}
	s.again(t)
	page := "/e2ee/users/bob/messages?page=1"
	if status, body := s.get(t, page, s.sample.Token(s.bob, "read", "write")); status != 200 || !strings.Contains(body, `"PrivateMessage"`) {
		t.Errorf("after the restore: %d %s", status, body)
	}
}

// TestRestoreNeedsTheKey: a new key would open nothing, so none is made.
func TestRestoreNeedsTheKey(t *testing.T) {
	s := serveHere(t)
	file := filepath.Join(t.TempDir(), "sealgate.backup")
	if code, _, errs := s.command(t, "backup", file); code != 0 {
		t.Fatalf("backup: %d %s", code, errs)
	}
	s.stop()
	s.end(t)
	if err := os.Rename(filepath.Join(s.data, "data"), filepath.Join(s.data, "lost")); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := s.command(t, "restore", file); code != 1 || !strings.Contains(errs, "storage.encryption_key") {
		t.Errorf("restore without the key: %d %s", code, errs)
	}
	if left, err := filepath.Glob(filepath.Join(s.data, "data", "*")); err != nil || len(left) > 0 {
		t.Errorf("it left %q, %v", left, err)
	}
}
