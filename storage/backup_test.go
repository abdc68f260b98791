package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

// TestBackupWhileWriting copies a store that four writers fill. What comes back is the
// mailbox as it was at one moment: all that was acknowledged before, in order and without
// a gap; and it takes what comes next.
func TestBackupWhileWriting(t *testing.T) {
	s := open(t, options(t.TempDir()))
	stopped, stop := context.WithCancel(t.Context())
	writers, ctx := errgroup.WithContext(stopped)
	for w := range 4 {
		writers.Go(func() error { return writeUntil(ctx, s, w) })
	}
	var before inbox.Usage
	for before.Total < 200 && ctx.Err() == nil {
		var err error
		if before, err = s.Usage(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	amount, err := s.Backup(t.Context(), &file, storage.Spot{}, nil)
	stop()
	if err := errors.Join(writers.Wait(), err); err != nil {
		t.Fatal(err)
	}
	if read, err := storage.VerifyBackup(t.Context(), key(1), bytes.NewReader(file.Bytes()), nil); err != nil || read != amount {
		t.Errorf("verified %+v of %+v: %v", read, amount, err)
	}

	back := restored(t, file.Bytes())
	es, here := everything(t, back), everything(t, s)
	if len(es) < before.Total {
		t.Fatalf("%d messages came back of %d", len(es), before.Total)
	}
	for i := range es {
		if es[i].Position != inbox.Position(i+1) || !bytes.Equal(es[i].Activity, here[i].Activity) {
			t.Fatalf("message %d is another one, at %d", i, es[i].Position)
		}
	}
	rs, err := back.Append(t.Context(), []inbox.Message{es[0].Message, inboxtest.Sample("bob", 1<<30)})
	if err != nil || !errors.Is(rs[0].Err, inbox.ErrDuplicate) || rs[1].Position != inbox.Position(len(es)+1) {
		t.Errorf("after the restore: %+v, %v", rs, err)
	}
}

func everything(t *testing.T, s *storage.Store) []inbox.Entry {
	t.Helper()
	es, err := s.After(t.Context(), "bob", 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return es
}

func restored(t *testing.T, file []byte) *storage.Store {
	t.Helper()
	o := options(filepath.Join(t.TempDir(), "store"))
	if _, err := storage.Restore(t.Context(), o, bytes.NewReader(file), nil); err != nil {
		t.Fatal(err)
	}
	return open(t, o)
}

// TestBackupIsRefused: every cut and every changed byte is found, whichever it is, and
// leaves nothing behind; so is another key, and nothing is overwritten.
func TestBackupIsRefused(t *testing.T) {
	s := open(t, options(t.TempDir()))
	for i := range 20 {
		appendOne(t, s, inboxtest.Sample("bob", i))
	}
	var buffer bytes.Buffer
	if _, err := s.Backup(t.Context(), &buffer, storage.Spot{}, nil); err != nil {
		t.Fatal(err)
	}
	file := buffer.Bytes()
	if bytes.Contains(file, []byte("urn:")) || bytes.Contains(file, []byte("example")) {
		t.Error("the backup can be read without the key")
	}
	for i := 0; i < len(file); i += 97 {
		unusable(t, key(1), file[:i], fmt.Sprintf("cut at %d", i))
		changed := bytes.Clone(file)
		changed[i] ^= 1
		unusable(t, key(1), changed, fmt.Sprintf("changed at %d", i))
	}
	unusable(t, key(1), append(bytes.Clone(file), 0), "with a byte more")
	unusable(t, key(2), file, "with another key")
	if _, err := storage.VerifyBackup(t.Context(), key(1), io.MultiReader(bytes.NewReader(file), iotest.ErrReader(io.ErrNoProgress)), nil); err == nil {
		t.Error("nobody knows what stands behind its end, and it passes")
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	unusable(t, key(1), append(bytes.Clone(file[:58]), 0xff, 0xff, 0xff, 0xff), "with a segment of 4 GiB")
	if runtime.ReadMemStats(&after); after.TotalAlloc-before.TotalAlloc > 1<<30 {
		t.Errorf("%d MiB were asked for to read it", (after.TotalAlloc-before.TotalAlloc)>>20)
	}

	o := options(filepath.Join(t.TempDir(), "store"))
	if _, err := storage.Restore(t.Context(), o, bytes.NewReader(file[:len(file)/2]), nil); !errors.Is(err, storage.ErrBackup) {
		t.Errorf("half a backup is restored: %v", err)
	}
	if left, err := filepath.Glob(o.Path + "*"); err != nil || len(left) > 0 {
		t.Errorf("a restore that failed left %q, %v", left, err)
	}
	if err := errors.Join(os.MkdirAll(o.Path+".restoring", 0o700), os.Mkdir(o.Path, 0o700)); err != nil { // one that was killed; an empty volume
		t.Fatal(err)
	}
	if _, err := storage.Restore(t.Context(), o, bytes.NewReader(file), nil); err != nil {
		t.Error(err)
	}
	_, err := storage.Restore(t.Context(), o, bytes.NewReader(file), nil)
	if !errors.Is(err, storage.ErrExists) || !strings.Contains(err.Error(), "storage.path") {
		t.Errorf("a store is overwritten: %v", err)
	}
}

// TestWhatIsWrongWithABackup: each fault has its own word, and a file that cannot be read is not called a bad backup, nor
// taken for one that broke off.
func TestWhatIsWrongWithABackup(t *testing.T) {
	s := open(t, options(t.TempDir()))
	for n := range 20 {
		m := inboxtest.Sample("bob", n)
		m.Activity = make([]byte, 100<<10)
		appendOne(t, s, m)
	}
	var buffer bytes.Buffer
	if _, err := s.Backup(t.Context(), &buffer, storage.Spot{}, nil); err != nil {
		t.Fatal(err)
	}
	file := buffer.Bytes()
	changed := bytes.Clone(file)
	changed[len(file)-20] ^= 1
	f := func(says string, key []byte, r io.Reader) {
		t.Helper()
		if _, err := storage.VerifyBackup(t.Context(), key, r, nil); err == nil || err.Error() != says {
			t.Errorf("%v, want %s", err, says)
		}
	}
	const unusable = "storage: unusable backup: "
	f(unusable+"it ends too early: it is cut short, or was changed", key(1), bytes.NewReader(file[:len(file)-1]))
	f(unusable+"it ends too early: it is cut short, or was changed", key(1), bytes.NewReader(nil))
	f(unusable+"it was made with another storage.encryption_key, or was changed", key(2), bytes.NewReader(file))
	f(unusable+"it was changed", key(1), bytes.NewReader(changed))
	f(unusable+"something stands behind its end", key(1), bytes.NewReader(append(bytes.Clone(file), 0)))
	for _, after := range []int{0, 10, 60, len(file) - 1, len(file)} {
		failing := func() io.Reader {
			return io.MultiReader(bytes.NewReader(file[:after]), iotest.ErrReader(syscall.EIO))
		}
		f("read the backup: input/output error", key(1), failing())
		if spot, err := storage.FindSpot(t.Context(), key(1), failing(), nil); !errors.Is(err, syscall.EIO) && !spot.Whole {
			t.Errorf("after %d bytes one goes on: %+v, %v", after, spot, err)
		}
	}
}

func unusable(t *testing.T, key, file []byte, why string) {
	t.Helper()
	if _, err := storage.VerifyBackup(t.Context(), key, bytes.NewReader(file), nil); !errors.Is(err, storage.ErrBackup) || strings.Contains(err.Error(), "\n") {
		t.Errorf("a backup %s passes, or is refused in several lines: %v", why, err)
	}
}

// TestRestoreBurns: nobody gets a package again that was handed out after the backup was made.
func TestRestoreBurns(t *testing.T) {
	s := open(t, options(t.TempDir()))
	d := inboxtest.NewDirectory(s, time.Now)
	alice := inboxtest.NewClient("https://social.example/users/alice", time.Now())
	inboxtest.Fill(t, d, "1", alice, 20)
	var file bytes.Buffer
	if _, err := s.Backup(t.Context(), &file, storage.Spot{}, nil); err != nil {
		t.Fatal(err)
	}
	handed := map[string]bool{}
	for i := range 19 {
		got, err := d.Claim(t.Context(), "1", inbox.Requester{ID: fmt.Sprint("inviter ", i)})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range got {
			handed[p.ID] = true
		}
	}
	if len(handed) != 19 {
		t.Fatalf("%d packages were handed out", len(handed))
	}

	back := restored(t, file.Bytes())
	pool, err := back.Pool(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	if len(pool.Packages) != 1 || pool.Packages[0].State != inbox.Used {
		t.Errorf("after the restore there are %+v", pool.Packages)
	}
	if n := len(pool.Notices); n == 0 || pool.Notices[n-1].Kind != inbox.LastResortUsed {
		t.Errorf("the owner is told %+v", pool.Notices)
	}
}

// TestRestoreBurnsEverybodys: packages of more people than one transaction takes are burnt; of each the last resort is left.
func TestRestoreBurnsEverybodys(t *testing.T) {
	const people = 2*16 + 1
	s := open(t, options(t.TempDir()))
	d := inboxtest.NewDirectory(s, time.Now)
	alice := inboxtest.NewClient("https://social.example/users/alice", time.Now())
	for n := range people {
		inboxtest.Fill(t, d, inbox.Owner(fmt.Sprint(n)), alice, 2)
	}
	var file bytes.Buffer
	if _, err := s.Backup(t.Context(), &file, storage.Spot{}, nil); err != nil {
		t.Fatal(err)
	}
	back := restored(t, file.Bytes())
	for n := range people {
		pool, err := back.Pool(t.Context(), inbox.Owner(fmt.Sprint(n)))
		if err != nil || len(pool.Packages) != 1 || pool.Packages[0].State != inbox.Used {
			t.Errorf("person %d has %+v, %v", n, pool.Packages, err)
		}
	}
}
