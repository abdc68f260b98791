package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

func TestReopen(t *testing.T) {
	path := t.TempDir()
	want := inboxtest.Sample("bob", 1)
	s := open(t, options(path))
	appendOne(t, s, want)
	closeStore(t, s)

	s = open(t, options(path))
	es, err := s.After(t.Context(), "bob", 0, 10)
	if err != nil || len(es) != 1 || !reflect.DeepEqual(es[0].Message, want) {
		t.Errorf("%+v, %v", es, err)
	}
	rs, err := s.Append(t.Context(), []inbox.Message{want, inboxtest.Sample("bob", 2)})
	if err != nil || !errors.Is(rs[0].Err, inbox.ErrDuplicate) || rs[1].Position != 2 {
		t.Errorf("%+v, %v", rs, err)
	}
}

// TestReopenManySpans: messages of several spans of time are there after a restart, and each goes in its own time.
func TestReopenManySpans(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock, o.Retention = clock.Now, 30*time.Hour
	s := open(t, o)
	for n := range 5 {
		appendOne(t, s, inboxtest.Sample("bob", n))
		clock.Advance(2 * time.Hour)
	}
	closeStore(t, s)
	s = open(t, o)
	clock.Advance(20*time.Hour + time.Minute) // the first span began 30 hours ago, and its last message is not over
	for left := 5; left > 0; left-- {
		if es := everything(t, s); len(es) != left || es[0].Position != inbox.Position(6-left) {
			t.Errorf("%d messages are left, want %d", len(es), left)
		}
		clock.Advance(2 * time.Hour)
	}
}

// TestOpenAfterAKillWhileOpening: a log file that was made and has no byte yet loses nothing.
func TestOpenAfterAKillWhileOpening(t *testing.T) {
	path := t.TempDir()
	s := open(t, options(path))
	appendOne(t, s, inboxtest.Sample("bob", 1))
	closeStore(t, s)
	for _, name := range []string{"99998.mem", "099999.vlog"} {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, options(path))
	if es, err := s.After(t.Context(), "bob", 0, 10); err != nil || len(es) != 1 {
		t.Errorf("%+v, %v", es, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	path := t.TempDir()
	s := open(t, options(path))
	second := options(path)
	refuses(t, second, storage.ErrLocked, "storage.path")
	if err := s.SetFormat(9); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)

	wrong := options(path)
	wrong.Key = key(2)
	refuses(t, wrong, storage.ErrKey, "storage.encryption_key")
	refuses(t, options(path), storage.ErrFormat, "format 9")

	for field, o := range map[string]storage.Options{
		"storage.encryption_key": {Path: path, Retention: 1e12, Quota: 1},
		"mailbox.retention":      {Path: path, Key: key(1), Quota: 1},
		"mailbox.quota":          {Path: path, Key: key(1), Retention: 1e12},
		"mailbox.max_activity":   {Path: path, Key: key(1), Retention: 1e12, Quota: 1, MaxMessage: 1 << 40},
		"storage.path":           {Path: filepath.Join(path, "KEYREGISTRY"), Key: key(1), Retention: 1e12, Quota: 1},
	} {
		refuses(t, o, nil, field)
	}
}

func refuses(t *testing.T, o storage.Options, want error, says string) {
	t.Helper()
	s, err := storage.Open(o)
	if err == nil {
		closeStore(t, s)
		t.Fatalf("opened, want a refusal that says %q", says)
	}
	if (want != nil && !errors.Is(err, want)) || !strings.Contains(err.Error(), says) {
		t.Errorf("%v, want %v saying %q", err, want, says)
	}
}

// TestForeignFormat: a store or a backup of an older or a newer format is refused with both versions named, and left as
// it is.
func TestForeignFormat(t *testing.T) {
	for _, version := range []byte{0, 2, 9} {
		o := options(t.TempDir())
		s, err := storage.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		appendOne(t, s, inboxtest.Sample("bob", 1))
		if err := s.SetFormat(version); err != nil {
			t.Fatal(err)
		}
		var saved bytes.Buffer
		if _, err := s.Backup(t.Context(), &saved, storage.Spot{}, nil); err != nil {
			t.Fatal(err)
		}
		closeStore(t, s)
		says := fmt.Sprintf("has format %d, this program reads 1; run the version that wrote it", version)
		refuses(t, o, storage.ErrFormat, says)
		refuses(t, o, storage.ErrFormat, says)
		if _, err := os.Stat(filepath.Join(o.Path, "CLOSED")); err != nil {
			t.Errorf("it is not left as it was: %v", err)
		}

		other := options(filepath.Join(t.TempDir(), "store"))
		if _, err := storage.Restore(t.Context(), other, &saved, nil); !errors.Is(err, storage.ErrFormat) || !strings.Contains(err.Error(), "the backup holds") || !strings.Contains(err.Error(), says) {
			t.Errorf("a backup of format %d: %v", version, err)
		}
		if left, err := filepath.Glob(other.Path + "*"); err != nil || len(left) > 0 {
			t.Errorf("it left %q, %v", left, err)
		}

		if before, err := storage.Reformat(o, 1); err != nil || before != version {
			t.Fatalf("format %d became %d, %v", version, before, err)
		}
		if es := everything(t, open(t, o)); len(es) != 1 {
			t.Errorf("%d messages are left", len(es))
		}
	}
}

// TestForeignBackup: a file of backups as older or newer programs make them is refused with both versions named, and one
// that is no backup is called that.
func TestForeignBackup(t *testing.T) {
	f := func(says, head string) {
		t.Helper()
		file := []byte(head + strings.Repeat("x", 100))
		_, err := storage.VerifyBackup(t.Context(), key(1), bytes.NewReader(file), nil)
		if !errors.Is(err, storage.ErrBackup) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", head, err, says)
		}
		if _, err := storage.FindSpot(t.Context(), key(1), bytes.NewReader(file), nil); !errors.Is(err, storage.ErrBackup) {
			t.Errorf("one goes on with %q: %v", head, err)
		}
	}
	f("it has format 1, this program reads 2; use the version that made it", "sealgate backup 1\n")
	f("it has format 17, this program reads 2; use the version that made it", "sealgate backup 17\n")
	f("no backup made by sealgate backup", "sealgate backup \x07\n")
	f("no backup made by sealgate backup", "sealgate backup \n")
	f("no backup made by sealgate backup", "PK\x03\x04")
}

// TestNothingIsReadableOnDisk looks for every plain word of a message in every
// file, in a store that runs, and closed, and with its tables written.
func TestNothingIsReadableOnDisk(t *testing.T) {
	path := t.TempDir()
	o := options(path)
	s := open(t, o)
	m := inboxtest.Sample("owner-4711", 1)
	m.Group = []byte("secret-group-id")
	m.Activity = []byte(strings.Repeat("ciphertext as it came ", 40000)) // several parts
	appendOne(t, s, m)
	if err := s.Keep(t.Context(), "gateway", []byte("BEGIN PRIVATE KEY")); err != nil {
		t.Fatal(err)
	}
	words := []string{"owner-4711", "secret-group-id", "ciphertext", "peer.example", "BEGIN PRIVATE", string(key(1))}
	grep(t, path, words)
	closeStore(t, s)
	grep(t, path, words)
	if names, _ := filepath.Glob(filepath.Join(path, "*.sst")); len(names) == 0 {
		t.Error("no table was written, the test looked at logs only")
	}
}

func grep(t *testing.T, path string, words []string) {
	t.Helper()
	var total int
	err := filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		total += len(data)
		for _, w := range words {
			if bytes.Contains(data, []byte(w)) {
				t.Errorf("%s contains %q", filepath.Base(name), w)
			}
		}
		return err
	})
	if err != nil || total < 800000 {
		t.Errorf("read %d bytes, %v", total, err)
	}
}

func TestStoreIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "store")
	open(t, options(path))
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
}

func appendOne(t *testing.T, s *storage.Store, m inbox.Message) {
	t.Helper()
	rs, err := s.Append(t.Context(), []inbox.Message{m})
	if err != nil || rs[0].Err != nil {
		t.Fatalf("Append: %v %v", rs, err)
	}
}
