package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

// TestGroupCommit: what waits while one group syncs becomes one transaction and
// one sync. The first sync is held until all other writers wait.
func TestGroupCommit(t *testing.T) {
	const writers = 64
	s := open(t, options(t.TempDir()))
	before := s.Transactions()
	entered, release := make(chan struct{}), make(chan struct{})
	var syncs atomic.Int32
	s.SetSync(func(sync func() error) error {
		if syncs.Add(1) == 1 {
			close(entered)
			<-release
		}
		return sync()
	})
	var wg, sent sync.WaitGroup
	write := func(n int) {
		if _, err := s.Append(t.Context(), []inbox.Message{inboxtest.Sample("bob", n)}); err != nil {
			t.Error(err)
		}
	}
	wg.Go(func() { write(0) })
	<-entered
	if es, err := s.After(t.Context(), "bob", 0, 10); err != nil || len(es) != 0 {
		t.Errorf("a read during the sync sees %d messages, %v", len(es), err)
	}
	for n := range writers {
		sent.Add(1)
		wg.Go(func() { sent.Done(); write(n + 1) })
	}
	sent.Wait()
	s.WaitQueued(writers)
	close(release)
	wg.Wait()
	if got := s.Transactions() - before; got != 2 || syncs.Load() != 2 {
		t.Errorf("%d messages in %d transactions and %d syncs, want 2 of each", writers+1, got, syncs.Load())
	}
	if u, err := s.Usage(t.Context(), "bob"); err != nil || u.Total != writers+1 {
		t.Errorf("%+v, %v", u, err)
	}
}

// held is a store whose committer syncs one message, until release; what comes meanwhile waits for it.
func held(t *testing.T, o storage.Options) (s *storage.Store, release func()) {
	t.Helper()
	s = open(t, o)
	appendOne(t, s, inboxtest.Sample("bob", 1<<20))
	entered, released := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.SetSync(func(sync func() error) error {
		once.Do(func() { close(entered); <-released })
		return sync()
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := s.Append(context.Background(), []inbox.Message{inboxtest.Sample("bob", 1<<20+1)}); err != nil {
			t.Error(err)
		}
	}()
	<-entered
	return s, func() { close(released); <-ended }
}

// TestMoreThanForeseen: requests that together change more than a transaction holds are all carried out, one by one.
func TestMoreThanForeseen(t *testing.T) {
	const requests, size = 16, 400 << 10
	s, release := held(t, options(t.TempDir()))
	burst := make(chan error)
	go func() { burst <- s.Burst(context.Background(), requests, size) }()
	s.WaitQueued(requests)
	release()
	if err := <-burst; err != nil {
		t.Fatal(err)
	}
	for n := range requests {
		if value, err := s.Kept(t.Context(), fmt.Sprint("burst ", n)); err != nil || len(value) != size {
			t.Errorf("value %d has %d bytes, %v", n, len(value), err)
		}
	}
}

// TestSweepAmongWhatWaits: it is carried out behind what was there before it and before what came later.
func TestSweepAmongWhatWaits(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock, o.Retention = clock.Now, 30*time.Hour
	s, release := held(t, o)
	clock.Advance(40 * time.Hour) // of the two that are there
	var group sync.WaitGroup
	for n, f := range []func(context.Context) error{
		func(ctx context.Context) error { return appended(ctx, s, 1) }, s.Sweep, func(ctx context.Context) error { return appended(ctx, s, 2) },
	} {
		group.Go(func() {
			if err := f(context.Background()); err != nil {
				t.Error(err)
			}
		})
		s.WaitQueued(n + 1)
	}
	release()
	group.Wait()
	rows(t, s, 2)
	if es := everything(t, s); len(es) != 2 || es[0].Position != 3 || es[1].Position != 4 {
		t.Errorf("%+v", es)
	}
}

func appended(ctx context.Context, s *storage.Store, n int) error {
	rs, err := s.Append(ctx, []inbox.Message{inboxtest.Sample("bob", n)})
	if err != nil {
		return err
	}
	return rs[0].Err
}

// TestCommitThatIsNotFollowed: where the engine's next log cannot be looked for, nothing is acknowledged any more.
func TestCommitThatIsNotFollowed(t *testing.T) {
	o := options(t.TempDir() + "/store")
	s := open(t, o)
	s.SetFree(func() int64 { return 1 << 40 })   // or the store becomes calm in the moment in which there is nothing at its path
	if err := s.Sweep(t.Context()); err != nil { // a look at the disk that had begun is over
		t.Fatal(err)
	}
	hidden := o.Path + ".hidden"
	if err := errors.Join(os.Rename(o.Path, hidden), os.WriteFile(o.Path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		if _, err := s.Append(t.Context(), []inbox.Message{inboxtest.Sample("bob", n)}); !errors.Is(err, inbox.ErrUnavailable) {
			t.Errorf("message %d: %v", n, err)
		}
		if es, err := s.After(t.Context(), "bob", 0, 10); err != nil || len(es) != 0 {
			t.Errorf("a read sees %d messages, %v", len(es), err)
		}
		if n == 0 {
			if err := errors.Join(os.Remove(o.Path), os.Rename(hidden, o.Path)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestSharesForgetSpans: what a sender has in a mailbox is counted for as long as it is there.
func TestSharesForgetSpans(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock, o.Retention, o.Share = clock.Now, 30*time.Hour, 1<<20
	s := open(t, o)
	m := inboxtest.Sample("bob", 0)
	for n := range 80 {
		m = inboxtest.Sample("bob", n)
		m.Fate = inbox.Admit
		if _, err := s.Append(t.Context(), []inbox.Message{m}); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Hour)
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.ShareRuns("bob", m.Actor); err != nil || n < 30 || n > 33 {
		t.Errorf("it is counted in %d spans, %v", n, err)
	}
	if err := s.Trim(t.Context(), "bob", 80); err != nil {
		t.Fatal(err)
	}
	if n, err := s.ShareRuns("bob", m.Actor); err != nil || n != 0 {
		t.Errorf("nothing is left, and it is counted in %d spans, %v", n, err)
	}
}
