package storage

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
)

const (
	maxGroup       = 256 // messages in one transaction
	letterOverhead = 512 // keys, index rows and Badger's own, generously
	// enteringOverhead is letterOverhead with what a message at the door usually changes.
	enteringOverhead = 4 << 10
	sweepEvery       = time.Minute // real time
	// So many are told of a commit before others who are ready get the processors: hundreds at once would be in everybody's way.
	answersAtOnce = 8
	// Old versions of rows are let go every so many transactions.
	discardEvery = 256
)

// commitLoop is the only writer. It takes what waits, commits it as one synced
// transaction, answers, and begins again: while one group syncs the next gathers.
func (s *Store) commitLoop() {
	defer close(s.done)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	look := time.NewTimer(0)
	defer look.Stop()
	var next *request
	for {
		if next == nil {
			select {
			case next = <-s.work:
			case <-tick.C:
				s.sweepQuietly()
				continue
			case <-look.C:
				look.Reset(s.look())
				continue
			case <-s.stop:
				s.drain()
				return
			}
		}
		var group []*request
		group, next = s.gather(next)
		s.run(group)
	}
}

// drain finishes what was taken before Close: nothing new can come.
func (s *Store) drain() {
	for {
		select {
		case r := <-s.work:
			s.run([]*request{r})
		default:
			return
		}
	}
}

// gather joins what waits to first until the group is full. A request that no
// longer fits, and any sweep, begins the next group.
func (s *Store) gather(first *request) (group []*request, next *request) {
	group = append(group, first)
	if first.alone() {
		return group, nil
	}
	size, count := first.size(), len(first.letters)
	for {
		select {
		case r := <-s.work:
			size, count = size+r.size(), count+len(r.letters)
			if r.alone() || size > s.groupBytes || count > maxGroup {
				return group, r
			}
			group = append(group, r)
		default:
			return group, nil
		}
	}
}

func (s *Store) run(group []*request) {
	if s.mustBeCalm() {
		s.runCalm(group)
		return
	}
	s.runTogether(group)
}

func (s *Store) runTogether(group []*request) {
	err := s.unhurt(func() error {
		switch {
		case group[0].sweep:
			return s.sweepNow()
		case group[0].engine != nil:
			return group[0].engine()
		default:
			return s.commit(group)
		}
	})
	if errors.Is(err, badger.ErrTxnTooBig) && len(group) > 1 {
		for _, r := range group { // together they changed more than was foreseen
			s.run([]*request{r})
		}
		return
	}
	for i, r := range group {
		r.done <- err
		if i%answersAtOnce == answersAtOnce-1 {
			runtime.Gosched()
		}
	}
}

// commit writes group as one transaction, syncs it and only then moves the
// snapshot that reads see.
func (s *Store) commit(group []*request) error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	if err := s.disk.claim(); err != nil {
		return err
	}
	txn := s.db.NewTransactionAt(s.durable.Load(), true)
	defer txn.Discard()
	p := s.newPost(txn)
	for _, r := range group {
		if err := p.deliver(r); err != nil {
			return fmt.Errorf("%w: %w", inbox.ErrUnavailable, err)
		}
	}
	if err := p.finish(); err != nil {
		return fmt.Errorf("%w: %w", inbox.ErrUnavailable, err)
	}
	s.metrics.conflicts.Add(float64(p.rivals))
	if p.writes == 0 {
		return nil // only duplicates, full mailboxes and commits that came too late
	}
	s.buckets.put(p.bucket) // before a read can see messages in it
	for _, one := range p.lighter {
		s.buckets.put(one)
	}
	return s.persist(txn)
}

// persist commits txn, syncs and publishes it. After an error nobody can say what
// is on disk: the kernel forgets a failed write-back once it was reported, so a
// second fsync that succeeds proves nothing. The store then writes no more.
func (s *Store) persist(txn *badger.Txn) error {
	ts := s.durable.Load() + 1
	err := txn.CommitAt(ts, nil)
	if err == nil {
		err = s.disk.follow()
	}
	if err == nil {
		err = s.sync()
	}
	if err != nil {
		return s.breakDown(err)
	}
	s.durable.Store(ts)
	if ts%discardEvery == 0 {
		s.letGo(ts)
	}
	return nil
}

func (s *Store) breakDown(cause error) error {
	err := fmt.Errorf("%w: the store could not be synced and takes nothing until the gateway is restarted: %w", inbox.ErrUnavailable, cause)
	s.broken.Store(&err)
	s.opt.Log.Error("store could not be synced: it refuses all messages until restart; check the disk under storage.path",
		"path", s.opt.Path, "error", cause)
	return err
}

// letGo lets compaction drop row versions no read can need: reads hold life, and
// later ones begin at ts or after. When reads are under way the next time will do.
func (s *Store) letGo(ts uint64) {
	if s.life.TryLock() {
		s.db.SetDiscardTs(s.pins.oldest(ts, s.now()))
		s.life.Unlock()
	}
}

func (s *Store) now() time.Time { return s.opt.Clock().Round(0) }
