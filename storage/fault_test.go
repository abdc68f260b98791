package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

// TestFailedSync: after one failed fsync nothing is acknowledged, nothing unsynced
// is read, and only a new start writes again.
func TestFailedSync(t *testing.T) {
	var logged bytes.Buffer
	o := options(t.TempDir())
	o.Log = slog.New(slog.NewTextHandler(&logged, nil))
	s := open(t, o)
	appendOne(t, s, inboxtest.Sample("bob", 1))

	failures := 1
	s.SetSync(func(sync func() error) error {
		if failures--; failures >= 0 {
			return syscall.EIO
		}
		return sync()
	})
	for n := 2; n < 5; n++ {
		_, err := s.Append(t.Context(), []inbox.Message{inboxtest.Sample("bob", n)})
		if !errors.Is(err, inbox.ErrUnavailable) || !errors.Is(err, syscall.EIO) {
			t.Errorf("message %d: %v", n, err)
		}
	}
	es, err := s.After(t.Context(), "bob", 0, 10)
	if err != nil || len(es) != 1 {
		t.Errorf("reads give %d messages, %v; want the synced one", len(es), err)
	}
	if err := s.Writable(); !errors.Is(err, inbox.ErrUnavailable) || !strings.Contains(err.Error(), "restarted") {
		t.Errorf("Writable: %v", err)
	}
	if n := strings.Count(logged.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d error lines: %s", n, logged.String())
	}
	closeStore(t, s)

	s = open(t, o)
	appendOne(t, s, inboxtest.Sample("bob", 9))
	es, err = s.After(t.Context(), "bob", 0, 10)
	for i, e := range es {
		if e.Position != inbox.Position(i+1) {
			t.Errorf("entry %d at %d", i, e.Position)
		}
	}
	if err != nil || len(es) < 2 || es[0].ActivityID != inboxtest.Sample("bob", 1).ActivityID {
		t.Errorf("after restart: %d messages, %v", len(es), err)
	}
}

// TestReserve: too little free space refuses writes, reads go on, and more space
// is all it takes.
func TestReserve(t *testing.T) {
	s := open(t, options(t.TempDir()))
	var free atomic.Int64
	free.Store(1 << 40)
	s.SetFree(free.Load)
	appendOne(t, s, inboxtest.Sample("bob", 1))

	free.Store(1 << 20)
	_, err := s.Append(t.Context(), []inbox.Message{inboxtest.Sample("bob", 2)})
	if !errors.Is(err, inbox.ErrUnavailable) || !strings.Contains(err.Error(), "storage.path") {
		t.Errorf("Append: %v", err)
	}
	if err := s.Writable(); !errors.Is(err, inbox.ErrUnavailable) {
		t.Errorf("Writable: %v", err)
	}
	if es, err := s.After(t.Context(), "bob", 0, 10); err != nil || len(es) != 1 {
		t.Errorf("reads: %d, %v", len(es), err)
	}

	free.Store(1 << 40)
	if err := s.Writable(); err != nil {
		t.Errorf("Writable: %v", err)
	}
	appendOne(t, s, inboxtest.Sample("bob", 2))
}

// TestLooksAtTheDisk: often when it is nearly full, seldom when it is not, however large it is.
func TestLooksAtTheDisk(t *testing.T) {
	f := func(want time.Duration, free int64) {
		t.Helper()
		if got := storage.UntilFull(free); got != want {
			t.Errorf("with %d bytes: again in %v, want %v", free, got, want)
		}
	}
	f(5*time.Millisecond, -1<<40)
	f(5*time.Millisecond, 0)
	f(100*time.Millisecond, 800_000_000)
	f(time.Second, 8<<30)
	f(time.Second, 27<<30)
	f(time.Second, 1<<62)
}

// TestFullDisk fills a real, small file system to its last byte under a store that was full of room a moment
// ago. What makes room goes on, and space is all it takes to go back to normal.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, "size=640m")
	clock := inboxtest.NewClock()
	o := options(filepath.Join(dir, "store"))
	o.Reserve, o.Quota, o.Clock, o.Retention = 200<<20, 1<<30, clock.Now, 30*time.Hour
	s := open(t, o)
	spare, rest := filepath.Join(dir, "spare"), filepath.Join(dir, "rest")
	if err := os.WriteFile(spare, make([]byte, 256<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	kept := appendUntilRefused(t, s)
	fillDisk(t, rest)
	refused := func() {
		t.Helper()
		if _, err := s.Append(t.Context(), []inbox.Message{inboxtest.Sample("bob", kept+2)}); !errors.Is(err, inbox.ErrUnavailable) {
			t.Errorf("on a full disk: %v", err)
		}
	}
	holds := func(want int) {
		t.Helper()
		if es, err := s.After(t.Context(), "bob", 0, kept+10); err != nil || len(es) != want {
			t.Errorf("on a full disk: %d messages, %v, want %d", len(es), err, want)
		}
	}
	refused()
	holds(kept)
	for n := range inbox.Position(5) {
		if err := s.Trim(t.Context(), "bob", n+1); err != nil {
			t.Errorf("remove on a full disk: %v", err)
		}
	}
	holds(kept - 5)
	clock.Advance(40 * time.Hour)
	holds(0)
	refused()
	if err := errors.Join(os.Remove(spare), os.Remove(rest)); err != nil {
		t.Fatal(err)
	}
	appendOne(t, s, inboxtest.Sample("bob", kept+3))
	sweep(t, s)
	rows(t, s, 1)
}

// TestDiskFillsUnderLoad: another program takes every last byte while eight writers are at work, again and
// again. Whatever becomes of the process, the next one opens on the full disk and has all that was acknowledged.
func TestDiskFillsUnderLoad(t *testing.T) {
	dir := smallDisk(t, "size=700m")
	path, rest := filepath.Join(dir, "store"), filepath.Join(dir, "rest")
	ledger := map[string]string{}
	died := 0
	for round := range 4 {
		full := make(chan struct{})
		_, state := writeOn(t, dir, "", ledger, func(n int) {
			if n == 200*(round+1) {
				go func() { defer close(full); fillDisk(t, rest) }()
			}
		}) // it ends with its first refusal
		select {
		case <-full:
		case <-time.After(time.Minute):
			t.Fatal("the disk did not fill: the child ended too early")
		}
		if s, ok := state.Sys().(syscall.WaitStatus); ok && (s.Signaled() || s.ExitStatus() == 2) {
			died++
		}
		audit(t, path, ledger)
		if err := os.Remove(rest); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("4 times full under load, %d messages acknowledged, 0 lost, %d processes died of it", len(ledger), died)
}

func dup(t *testing.T, fd int) int {
	t.Helper()
	other, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	unix.CloseOnExec(other)
	return other
}

// smallDisk mounts a tmpfs that only this process can reach, through an open
// descriptor: however the test ends, nothing stays mounted.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, size); err != nil {
		t.Skipf("NOT TESTED: a really full disk needs the right to mount a tmpfs: %v", err)
	}
	root, err := os.Open(dir)
	if err = errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return fmt.Sprintf("/proc/self/fd/%d", root.Fd())
}

func appendUntilRefused(t *testing.T, s *storage.Store) (kept int) {
	t.Helper()
	for {
		m := inboxtest.Sample("bob", kept+1)
		m.Activity = bytes.Repeat([]byte{'x'}, 900<<10)
		rs, err := s.Append(t.Context(), []inbox.Message{m})
		if errors.Is(err, inbox.ErrUnavailable) {
			if kept < 10 {
				t.Fatalf("refused after %d messages: %v", kept, err)
			}
			return kept
		}
		if err != nil || rs[0].Err != nil {
			t.Fatal(rs, err)
		}
		kept++
	}
}

// fillDisk writes to path until nothing more fits, to the byte.
func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 16 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Error(err)
		}
	}
}

func TestClosed(t *testing.T) {
	s := open(t, options(t.TempDir()))
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for n := 0; ; n++ {
				rs, err := s.Append(t.Context(), []inbox.Message{inboxtest.Sample("bob", w<<20+n)})
				if errors.Is(err, inbox.ErrUnavailable) {
					return
				}
				if err != nil || rs[0].Err != nil {
					t.Errorf("%v %v", rs, err)
					return
				}
			}
		})
	}
	for u := (inbox.Usage{}); u.Total < 50; {
		u, _ = s.Usage(t.Context(), "bob")
	}
	closeStore(t, s)
	wg.Wait()
	if _, err := s.After(t.Context(), "bob", 0, 1); !errors.Is(err, inbox.ErrUnavailable) {
		t.Errorf("After: %v", err)
	}
	if err := s.Writable(); err == nil {
		t.Error("writable after Close")
	}
	closeStore(t, s) // twice is harmless
}

// TestCloseOnFullDisk: Close writes nothing then, and a copy of the files, which
// is what a kill leaves, has all that was acknowledged.
func TestCloseOnFullDisk(t *testing.T) {
	o := options(t.TempDir())
	s, err := storage.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	appendOne(t, s, inboxtest.Sample("bob", 1))
	s.SetFree(func() int64 { return 0 })
	if err := s.Close(); !errors.Is(err, inbox.ErrUnavailable) || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("Close: %v", err)
	}
	copied := options(filepath.Join(t.TempDir(), "copy"))
	if err := os.CopyFS(copied.Path, os.DirFS(o.Path)); err != nil {
		t.Fatal(err)
	}
	if es, err := open(t, copied).After(t.Context(), "bob", 0, 10); err != nil || len(es) != 1 {
		t.Errorf("%d messages, %v", len(es), err)
	}
}
