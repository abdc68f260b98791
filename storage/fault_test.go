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

// TestFullDisk fills a real, small file system far below the reserve under a running
// store at rest. Without the claimed log blocks and the reserve this is SIGBUS.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, "size=512m")
	o := options(filepath.Join(dir, "store"))
	o.Reserve = 200 << 20 // room for the tables that are on their way when writes end
	s := open(t, o)
	spare, rest := filepath.Join(dir, "spare"), filepath.Join(dir, "rest")
	if err := os.WriteFile(spare, make([]byte, 190<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	kept := appendUntilRefused(t, s)
	s.WaitIdle()
	fillDisk(t, rest)
	if _, err := s.Append(t.Context(), []inbox.Message{inboxtest.Sample("bob", kept+2)}); !errors.Is(err, inbox.ErrUnavailable) {
		t.Errorf("on a full disk: %v", err)
	}
	if es, err := s.After(t.Context(), "bob", 0, kept+10); err != nil || len(es) != kept {
		t.Errorf("on a full disk: %d messages, %v, want %d", len(es), err, kept)
	}
	if err := errors.Join(os.Remove(spare), os.Remove(rest)); err != nil {
		t.Fatal(err)
	}
	appendOne(t, s, inboxtest.Sample("bob", kept+3))
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

func fillDisk(t *testing.T, path string) {
	t.Helper()
	var disk unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(path), &disk); err != nil {
		t.Fatal(err)
	}
	// A table may still be on its way to the disk: Badger writes it through a map, and a fault there ends
	// the process. It gets the room it needs.
	const table = 40 << 20
	free := int64(disk.Bavail)*disk.Bsize - table
	if err := os.WriteFile(path, make([]byte, max(free, 0)), 0o600); err != nil {
		t.Fatal(err)
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
