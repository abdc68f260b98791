package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
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
	if code, _, errs := s.command(t, "backup", file+".none/sealgate.backup"); code != 1 || !strings.Contains(errs, "make it first") {
		t.Errorf("into no directory: %d %s", code, errs)
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

// TestBackupOnAFullDisk: a disk that fills up under a backup leaves a part that is no backup; with room, and after
// the gateway was restarted, the same command goes on from there. Nobody else writes it meanwhile.
func TestBackupOnAFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("NOT TESTED: a really full disk needs the right to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	s := serveHere(t)
	s.restartWith(t, 5<<20)
	file := filepath.Join(disk, "saved")
	s.fails(t, "no space left on device; within 12 hours the same command goes on from "+file+".part", "backup", file)
	if _, err := os.Stat(file); err == nil {
		t.Error("half a backup has the name of a whole one")
	}
	if code, _, errs := s.command(t, "restore", file+".part"); code != exitFailure {
		t.Errorf("half a backup is restored: %d %s", code, errs)
	}
	half, err := os.Stat(file + ".part")
	if err != nil || half.Size() < 1<<20 {
		t.Fatalf("%v, %v", half, err)
	}
	if err := unix.Mount("", disk, "", unix.MS_REMOUNT, "size=20m"); err != nil {
		t.Fatal(err)
	}
	s.restartWith(t, 1<<20)
	if part, err := openPart(file + ".part"); err != nil {
		t.Error(err)
	} else {
		s.fails(t, "is being written by another backup", "backup", file)
		part.Close()
	}
	s.succeeds(t, "read back and whole", "backup", file)
	if left, err := filepath.Glob(filepath.Join(disk, "*")); err != nil || len(left) != 1 || left[0] != file {
		t.Errorf("beside the backup there are %q, %v", left, err)
	}
	if whole, err := os.Stat(file); err != nil || whole.Size() > 6<<20 || whole.Size() < 5_000_000 {
		t.Errorf("the backup is of another moment: %v, %v", whole, err)
	}
	photograph := filepath.Join(disk, "other.part")
	if err := os.WriteFile(photograph, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	s.fails(t, "remove "+photograph+" and begin anew", "backup", filepath.Join(disk, "other"))
	if about, err := os.Stat(photograph); err != nil || about.Size() != 1000 {
		t.Errorf("what was no backup is %v, %v", about, err)
	}
}

// restartWith starts the gateway anew with so many bytes more in bob's mailbox.
func (s *served) restartWith(t *testing.T, bytes int) {
	t.Helper()
	s.stop()
	s.end(t)
	config, err := (&settings{file: s.file}).load()
	if err != nil {
		t.Fatal(err)
	}
	err = atRest(config, func(store *storage.Store) error {
		for n := range bytes / (100 << 10) {
			m := inboxtest.Sample(inbox.Owner(s.bob.Account), bytes+n)
			m.Activity = make([]byte, 100<<10)
			if _, err := store.Append(t.Context(), []inbox.Message{m}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.again(t)
}
