package storage_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

func sweep(t *testing.T, s *storage.Store) {
	t.Helper()
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatalf("Sweep: %v", err)
	}
}

// TestSweep drops what expired, keeps what did not, and leaves positions and
// memory of duplicates alone, also across a restart.
func TestSweep(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock, o.Retention = clock.Now, 30*time.Hour
	s := open(t, o)
	appendOne(t, s, inboxtest.Sample("bob", 1))
	clock.Advance(20 * time.Hour)
	appendOne(t, s, inboxtest.Sample("bob", 2))
	sweep(t, s)
	rows(t, s, 2)
	clock.Advance(15 * time.Hour)
	sweep(t, s)
	rows(t, s, 1)
	clock.Advance(40 * time.Hour)
	sweep(t, s)
	rows(t, s, 0)
	before := s.Transactions()
	sweep(t, s)
	if n := s.Transactions() - before; n != 0 {
		t.Errorf("a sweep with nothing to do took %d transactions", n)
	}
	closeStore(t, s)

	s = open(t, o)
	clock.Advance(-80 * time.Hour) // a clock set back brings nothing back
	want := inbox.Usage{Last: 2}
	if u, err := s.Usage(t.Context(), "bob"); u != want || err != nil {
		t.Errorf("%+v, %v, want %+v", u, err, want)
	}
	rs, err := s.Append(t.Context(), []inbox.Message{inboxtest.Sample("bob", 1), inboxtest.Sample("bob", 3)})
	if err != nil || !errors.Is(rs[0].Err, inbox.ErrDuplicate) || rs[0].Position != 1 || rs[1].Position != 3 {
		t.Errorf("%+v, %v", rs, err)
	}
	es, err := s.After(t.Context(), "bob", 0, 10)
	if err != nil || len(es) != 1 || es[0].Position != 3 {
		t.Errorf("%+v, %v", es, err)
	}
}

func rows(t *testing.T, s *storage.Store, want int) {
	t.Helper()
	if n, err := s.MessageRows(); n != want || err != nil {
		t.Errorf("%d message rows in the engine, %v, want %d", n, err, want)
	}
}

// TestSweepAmongReadersAndWriters: nobody notices but by what expired.
func TestSweepAmongReadersAndWriters(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock, o.Retention = clock.Now, 30*time.Second
	s := open(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	for w := range 4 {
		group.Go(func() error { return writeUntil(ctx, s, w) })
		group.Go(func() error { return followUntil(ctx, s) })
	}
	for range 12 {
		clock.Advance(4 * time.Second)
		sweep(t, s)
	}
	cancel()
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func writeUntil(ctx context.Context, s *storage.Store, w int) error {
	for n := 0; ctx.Err() == nil; n++ {
		rs, err := s.Append(ctx, []inbox.Message{inboxtest.Sample("bob", w<<20+n)})
		if err == nil {
			err = rs[0].Err
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("append message %d: %w", n, err)
		}
	}
	return nil
}

func followUntil(ctx context.Context, s *storage.Store) error {
	var cursor inbox.Position
	for ctx.Err() == nil {
		es, err := s.After(ctx, "bob", cursor, 50)
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("read after %d: %w", cursor, err)
		}
		for i, e := range es {
			// Only the oldest may be missing: they expired, before the read or in its midst.
			if e.Position <= cursor || i > 0 && e.Position != cursor+1 && !expiredBefore(ctx, s, e.Position) {
				return fmt.Errorf("position %d after %d", e.Position, cursor)
			}
			cursor = e.Position
		}
	}
	return nil
}

// expiredBefore: nothing older than p is kept any more, or the end has come.
func expiredBefore(ctx context.Context, s *storage.Store, p inbox.Position) bool {
	u, err := s.Usage(ctx, "bob")
	return ctx.Err() != nil || err == nil && (u.First == 0 || u.First >= p)
}

// TestChurnGivesSpaceBack writes ten times the live size through a store.
func TestChurnGivesSpaceBack(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock, o.Retention = clock.Now, 30*time.Hour
	s := open(t, o)
	const hours, perHour, size = 300, 20, 16 << 10
	const live = 30 * perHour * size // some 9 MiB
	body := make([]byte, size)
	for hour := range hours {
		ms := make([]inbox.Message, perHour)
		for i := range ms {
			rand.Read(body)
			ms[i] = inboxtest.Sample(inbox.Owner(fmt.Sprint(i%5)), hour*perHour+i)
			ms[i].Activity = append([]byte(nil), body...)
		}
		if _, err := s.Append(t.Context(), ms); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Hour)
		if hour%20 == 0 {
			sweep(t, s)
		}
	}
	s.WaitIdle()
	used := diskUse(t, o.Path)
	t.Logf("%d MiB on disk for %d MiB live after writing %d MiB", used>>20, live>>20, hours*perHour*size>>20)
	// Fixed costs: the ballast, one claimed write-ahead log and what the tables' slack is.
	if used > 3*live+64<<20 {
		t.Errorf("%d bytes on disk for %d live", used, live)
	}
}

// diskUse counts blocks, as du does.
func diskUse(t testing.TB, path string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // compacted away
		}
		if err != nil {
			return err
		}
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			sum += st.Blocks * 512
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
