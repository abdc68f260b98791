package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
)

// request is one piece of work for the committer: letters, rows and a change, or a sweep.
type request struct {
	lesson  inbox.Lesson // learned before the letters, also when they stay away
	letters []letter
	follows bool   // another request of the same Append
	whole   *whole // of a submission: all of its letters, or nothing
	rows    []row
	change  func(*post) error // runs in the transaction, after the letters; its error fails the group
	weight  int64             // what change writes, in bytes, at most
	sweep   bool
	engine  func() error // what the committer does to the engine itself, between transactions
	relief  bool         // it makes room, so that a full disk does not forbid it

	results []inbox.Result
	done    chan error // buffered: the committer never waits for who asked
}

// alone says whether r is a group of its own.
func (r *request) alone() bool { return r.sweep || r.engine != nil }

// row is written as it is.
type row struct{ key, value []byte }

// size estimates what r adds to a transaction.
func (r *request) size() int64 {
	var n int64
	for i := range r.letters {
		n += r.letters[i].weight()
	}
	return n + weigh(r.rows) + r.weight
}

// Append implements inbox.Store. A call with many messages is carried by several
// transactions when one cannot hold them.
func (s *Store) Append(ctx context.Context, ms []inbox.Message) ([]inbox.Result, error) {
	begin := time.Now()
	requests, err := s.requests(ms)
	if err != nil {
		return nil, err
	}
	if err := s.submit(ctx, requests...); err != nil {
		s.metrics.unavailable(len(ms))
		return nil, err
	}
	results := make([]inbox.Result, 0, len(ms))
	for _, r := range requests {
		results = append(results, r.results...)
	}
	s.metrics.appended(results, time.Since(begin))
	return results, nil
}

// requests copies and encodes ms and cuts them into pieces of a group's size.
func (s *Store) requests(ms []inbox.Message) ([]*request, error) {
	var out []*request
	var size int64
	for i := range ms {
		if err := s.fits(&ms[i]); err != nil {
			return nil, err
		}
		l := s.letter(&ms[i])
		cost := l.weight()
		if len(out) == 0 || size+cost > s.groupBytes || len(out[len(out)-1].letters) == maxGroup {
			out, size = append(out, &request{follows: len(out) > 0}), 0
		}
		last := out[len(out)-1]
		last.letters, size = append(last.letters, l), size+cost
	}
	return out, nil
}

func (s *Store) fits(m *inbox.Message) error {
	if int64(len(m.Activity)) > s.opt.MaxMessage {
		return fmt.Errorf("storage: activity of %d bytes is over mailbox.max_activity (%d)", len(m.Activity), s.opt.MaxMessage)
	}
	if n := len(m.Actor) + len(m.ActivityID) + len(m.Group) + len(m.Kind) + len(m.Context); n > maxEnvelope-256 {
		return fmt.Errorf("storage: ids of %d bytes are over %d", n, maxEnvelope-256)
	}
	return nil
}

// submit gives rs to the committer, in order, and waits until all are durable.
// Nothing of anybody else comes between them, so that mailboxes agree on the order.
func (s *Store) submit(ctx context.Context, rs ...*request) error {
	if err := s.recognise(ctx, rs); err != nil {
		return err
	}
	if err := s.enter(ctx, rs); err != nil {
		return err
	}
	for _, r := range rs {
		select {
		case err := <-r.done:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// recognise waits with letters whose mailbox is not found until it is known that there is none, which the committer cannot do: it
// waits for nobody.
func (s *Store) recognise(ctx context.Context, rs []*request) error {
	select {
	case <-s.looked:
		return nil // damage is told when they enter
	default:
	}
	for _, r := range rs {
		for i := range r.letters {
			var box *mailbox
			err := s.view(func(txn *badger.Txn) (err error) {
				box, err = readMailbox(txn, r.letters[i].box)
				return err
			})
			if err != nil {
				return fmt.Errorf("%w: %w", inbox.ErrUnavailable, err)
			}
			if box.last > 0 {
				continue
			}
			if err := s.absent(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) enter(ctx context.Context, rs []*request) error {
	if len(rs) > 1 {
		s.line.Lock()
		defer s.line.Unlock()
	} else {
		s.line.RLock()
		defer s.line.RUnlock()
	}
	for _, r := range rs {
		r.done = make(chan error, 1)
		if err := s.enqueue(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// enqueue holds taking shared, so that Close finds everything that was taken.
func (s *Store) enqueue(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.taking.RLock()
	defer s.taking.RUnlock()
	if s.closed {
		return errClosed
	}
	if err := s.broken.Load(); err != nil {
		return *err
	}
	select {
	case s.work <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
