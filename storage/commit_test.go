package storage_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
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
