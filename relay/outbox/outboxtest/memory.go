// Package outboxtest holds implementations of outbox.Store to its contract and has one in memory.
//
// Run is the contract suite; Memory is the Store for tests and simulations of everything above
// storage. Neither belongs into a running gateway: Memory forgets everything with the process.
package outboxtest

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/relay/outbox"
)

// Memory is an outbox.Store that keeps everything in memory. Mail is where local
// recipients' copies go; its Quota counts. It is safe for concurrent use.
type Memory struct {
	Mail *inboxtest.Memory

	mu    sync.Mutex
	last  uint64
	queue []outbox.Delivery // by lane, then Seq
	sent  map[string]outbox.Sent
	order order
}

var _ outbox.Store = (*Memory)(nil)

// Submit implements outbox.Store.
func (m *Memory) Submit(ctx context.Context, s outbox.Submission) (outbox.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	receipt := outbox.Receipt{First: m.last + 1}
	if err := m.Mail.Learn(ctx, s.Lesson); err != nil {
		return outbox.Receipt{}, err
	}
	if lost, err := m.order.lost(s.Turn); lost != nil || err != nil {
		return outbox.Receipt{Lost: lost}, err
	}
	if full := m.overflows(s.Messages); full != nil {
		receipt.Results = full
		return receipt, nil
	}
	results, err := m.Mail.Append(ctx, s.Messages)
	if err != nil {
		return outbox.Receipt{}, err
	}
	receipt.Results = results
	if m.sent == nil {
		m.sent = map[string]outbox.Sent{}
	}
	for _, name := range s.Sent.Names {
		m.sent[name] = copySent(s.Sent)
	}
	for _, d := range s.Deliveries {
		m.last++
		d.Seq = m.last
		m.queue = append(m.queue, copyDelivery(d))
	}
	m.order.note(s)
	slices.SortFunc(m.queue, func(a, b outbox.Delivery) int { return compare(a.Place, b.Place) })
	return receipt, nil
}

// overflows gives ErrFull for the messages that do not fit, nil when all do.
func (m *Memory) overflows(ms []inbox.Message) (results []inbox.Result) {
	for i := range ms {
		if m.Mail.Fits(&ms[i]) {
			continue
		}
		if results == nil {
			results = make([]inbox.Result, len(ms))
		}
		results[i].Err = inbox.ErrFull
	}
	return results
}

// Pending implements outbox.Store.
func (m *Memory) Pending(ctx context.Context, behind outbox.Place, limit int) ([]outbox.Delivery, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []outbox.Delivery
	for _, d := range m.queue {
		if len(out) < limit && compare(d.Place, behind) > 0 {
			out = append(out, copyDelivery(d))
		}
	}
	return out, ctx.Err()
}

// Next implements outbox.Store.
func (m *Memory) Next(ctx context.Context, behind outbox.Place, limit int) ([]outbox.Delivery, error) {
	all, err := m.Pending(ctx, behind, limit)
	for i, d := range all {
		if d.Lane != behind.Lane {
			return all[:i], err
		}
	}
	return all, err
}

// Settle implements outbox.Store.
func (m *Memory) Settle(ctx context.Context, done []outbox.Place, changed []outbox.Delivery) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range changed {
		if i, ok := m.find(d.Place); ok {
			m.queue[i] = copyDelivery(d)
		}
	}
	for _, at := range done {
		if i, ok := m.find(at); ok {
			m.queue = slices.Delete(m.queue, i, i+1)
		}
	}
	return nil
}

// Sent implements outbox.Store.
func (m *Memory) Sent(ctx context.Context, name string) (outbox.Sent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sent[name]
	if err := ctx.Err(); err != nil {
		return outbox.Sent{}, err
	}
	if !ok {
		return outbox.Sent{}, outbox.ErrNotSent
	}
	return copySent(s), nil
}

func (m *Memory) find(at outbox.Place) (int, bool) {
	return slices.BinarySearchFunc(m.queue, at, func(d outbox.Delivery, at outbox.Place) int { return compare(d.Place, at) })
}

func compare(a, b outbox.Place) int {
	return cmp.Or(bytes.Compare(a.Lane[:], b.Lane[:]), cmp.Compare(a.Seq, b.Seq))
}

func copyDelivery(d outbox.Delivery) outbox.Delivery {
	d.Ways, d.Recipients = slices.Clone(d.Ways), slices.Clone(d.Recipients)
	return d
}

func copySent(s outbox.Sent) outbox.Sent {
	s.Names, s.Owners, s.Actors, s.Body = slices.Clone(s.Names), slices.Clone(s.Owners), slices.Clone(s.Actors), bytes.Clone(s.Body)
	return s
}
