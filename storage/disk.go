package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"

	"github.com/sealgate/sealgate/inbox"
)

const logSuffix = ".mem" // Badger's write-ahead logs: 00001.mem, 00002.mem

// disk stands between the committer and a full disk. Badger writes through
// memory maps of sparse files, where a full disk is not an error but SIGBUS. So
// nothing is taken while less than reserve is free (calm.go), the blocks of each
// write-ahead log are claimed before it is relied on, and a ballast is held, blocks that
// are given up when the store must write although nothing is left. What this cannot prevent:
// another program that takes all of the reserve at once, in the moment in which Badger
// copies a table. The process then dies of SIGBUS; nothing acknowledged is lost, and
// the ballast lets the next one open.
type disk struct {
	path    string
	reserve int64
	ballast int64
	log     int64 // bytes of a write-ahead log that can be written
	next    int   // the log that will exist after the next rotation
	bare    bool  // the current log's blocks are not claimed yet
	free    atomic.Pointer[func(path string) (int64, error)]
}

func newDisk(o Options) *disk {
	d := &disk{path: o.Path, reserve: o.Reserve, ballast: 2 * memTable(o)}
	free := freeBytes
	d.free.Store(&free)
	return d
}

// begin looks at the logs of an engine that was just opened.
func (d *disk) begin(db *badger.DB) error {
	d.log = db.Opts().MemTableSize + db.MaxBatchSize() + 1<<20
	newest, err := newestLog(d.path)
	if err != nil {
		return err
	}
	d.next = newest
	return d.follow()
}

func (d *disk) ballastPath() string { return filepath.Join(d.path, "BALLAST") }

// hold takes the ballast, if there is room for it besides the reserve. Without it, or on
// a file system that cannot allocate ahead, only comfort is lost.
func (d *disk) hold() {
	if st, err := os.Stat(d.ballastPath()); err == nil && st.Size() == d.ballast {
		return
	}
	if d.atLeast(d.reserve+d.ballast) != nil {
		return
	}
	f, err := os.OpenFile(d.ballastPath(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // nothing was written through it
	if unix.Fallocate(int(f.Fd()), 0, 0, d.ballast) != nil {
		d.release()
	}
}

// release gives the ballast's blocks up.
func (d *disk) release() { _ = os.Remove(d.ballastPath()) }

// room refuses when less than the reserve is free. It may be called concurrently.
func (d *disk) room() error { return d.atLeast(d.reserve) }

// spare asks for half the reserve, which is for what must be done although the
// disk is filling: opening, closing, dropping what expired.
func (d *disk) spare() error { return d.atLeast(d.reserve / 2) }

// forOne asks for a table's room, the ballast's if there is no other.
func (d *disk) forOne() error {
	if d.spare() != nil {
		d.release()
	}
	return d.atLeast(d.ballast * 3 / 4)
}

func (d *disk) atLeast(want int64) error {
	free, err := (*d.free.Load())(d.path)
	if err != nil {
		return fmt.Errorf("%w: ask for free space under storage.path: %w", inbox.ErrUnavailable, err)
	}
	if free < want {
		return fmt.Errorf("%w: %d MiB free under storage.path, %d MiB are needed; free some space", inbox.ErrUnavailable, free>>20, want>>20)
	}
	return nil
}

// claim asks for the current log's blocks if they could not be had before.
func (d *disk) claim() error {
	if d.bare {
		d.claimLog(d.next - 1)
	}
	if d.bare {
		return fmt.Errorf("%w: no room for the write-ahead log under storage.path", inbox.ErrUnavailable)
	}
	return nil
}

// follow notices a log Badger has begun: its blocks are claimed and its directory
// entry synced, which Badger leaves out, so that the log is found after a power cut.
func (d *disk) follow() error {
	begun := false
	for {
		if _, err := os.Stat(d.logPath(d.next)); errors.Is(err, os.ErrNotExist) {
			break
		} else if err != nil {
			return err
		}
		d.claimLog(d.next)
		d.next++
		begun = true
	}
	if begun {
		return syncFile(d.path)
	}
	return nil
}

// claimLog leaves bare set when the disk has no room; file systems that cannot
// allocate ahead are left to the reserve.
func (d *disk) claimLog(id int) {
	f, err := os.OpenFile(d.logPath(id), os.O_RDWR, 0)
	if err != nil {
		d.bare = true
		return
	}
	defer f.Close() //nolint:errcheck // nothing was written through it
	if d.bare = !allocate(f, d.log); d.bare {
		d.release()
		d.bare = !allocate(f, d.log)
	}
}

func allocate(f *os.File, size int64) bool {
	err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	return !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT)
}

func (d *disk) logPath(id int) string {
	return filepath.Join(d.path, fmt.Sprintf("%05d%s", id, logSuffix))
}

func newestLog(path string) (int, error) {
	names, err := filepath.Glob(filepath.Join(path, "*"+logSuffix))
	newest := 0
	for _, name := range names {
		if id, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), logSuffix)); err == nil {
			newest = max(newest, id)
		}
	}
	return newest, err
}

func freeBytes(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// syncLogs makes durable what a killed process left in the page cache: Badger is
// about to show it to readers.
func syncLogs(path string) error {
	names, err := filepath.Glob(filepath.Join(path, "*"+logSuffix))
	if err != nil {
		return err
	}
	for _, name := range append(names, path) {
		if err := syncFile(name); err != nil {
			return fmt.Errorf("sync the store before opening it: %w", err)
		}
	}
	return nil
}

func syncFile(name string) error {
	f, err := os.Open(name) //nolint:gosec // the operator's own path
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// probeLock asks for Badger's own lock first, because its error cannot be told
// from others, and clears away what a kill left half made while it has the lock.
func probeLock(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the store's directory (storage.path): %w", err)
	}
	defer f.Close() //nolint:errcheck // it only gives the lock back
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%w: %s (storage.path) is in use; stop the running gateway or choose another path", ErrLocked, path)
	}
	if err != nil {
		return err
	}
	return removeHalfMade(path)
}

// removeHalfMade takes away log files that were made and got no byte before a kill:
// Badger opens no store that has one.
func removeHalfMade(path string) error {
	for _, kind := range []string{"*" + logSuffix, "*.vlog"} {
		names, err := filepath.Glob(filepath.Join(path, kind))
		if err != nil {
			return err
		}
		for _, name := range names {
			if info, err := os.Stat(name); err != nil || info.Size() > 0 {
				continue
			}
			if err := os.Remove(name); err != nil {
				return fmt.Errorf("clear the store of an empty log: %w", err)
			}
		}
	}
	return nil
}
