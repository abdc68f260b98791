// Package inboxtest holds implementations of inbox.Store to its contract and has one in memory.
//
// Run is the contract suite; Memory is the Store for tests of everything above storage. Neither
// belongs into a running gateway: Memory forgets everything with the process.
package inboxtest

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// Memory is an inbox.Store that keeps everything in memory. The zero value has
// the wall clock, no retention and no quota. It is safe for concurrent use.
type Memory struct {
	Clock     func() time.Time
	Retention time.Duration // 0 keeps for ever
	Quota     int64         // bytes per owner; 0 is unlimited
	Share     int64         // of them, for messages with a Fate from one sender, with what waits; 0 is all
	Door      inbox.Door

	mu     sync.Mutex
	boxes  map[inbox.Owner]*box
	values map[string][]byte
	rows   map[inbox.Row]keptRow
}

type box struct {
	last    inbox.Position
	entries []kept
	once    map[origin]first
}

type kept struct {
	inbox.Entry
	accepted time.Time
}

type origin struct{ actor, id string }

type first struct {
	position inbox.Position
	accepted time.Time
}

var _ inbox.Store = (*Memory)(nil)

// Append implements inbox.Store.
func (m *Memory) Append(ctx context.Context, ms []inbox.Message) ([]inbox.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	results := make([]inbox.Result, len(ms))
	for i, msg := range ms {
		results[i] = m.append(m.box(msg.Owner), msg)
	}
	return results, nil
}

func (m *Memory) append(b *box, msg inbox.Message) inbox.Result {
	now := m.now()
	from := origin{msg.Actor, msg.ActivityID}
	if f, ok := b.once[from]; ok {
		if m.Retention == 0 || now.Sub(f.accepted) < max(inbox.Remembered, m.Retention) {
			return inbox.Result{Position: f.position, Err: inbox.ErrDuplicate}
		}
	}
	r, err := m.Door.Complete(0).Enter(memoryLedger{m}, now, &msg)
	if err != nil {
		panic("bug: " + err.Error()) // memory does not fail
	}
	if r.Err == nil && !r.Delivered() {
		b.once[from] = first{0, now}
	}
	return r
}

// Fits tells whether Append would keep msg, or know it already.
func (m *Memory) Fits(msg *inbox.Message) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(msg.Owner)
	if _, known := b.once[origin{msg.Actor, msg.ActivityID}]; known {
		return true
	}
	fits, err := m.Door.Complete(0).Fits(memoryLedger{m}, m.now(), msg)
	return fits && err == nil
}

func (m *Memory) deposit(b *box, msg inbox.Message) inbox.Result {
	if m.Quota > 0 && b.usage().Bytes+int64(len(msg.Activity)) > m.Quota {
		return inbox.Result{Err: inbox.ErrFull}
	}
	now := m.now()
	b.last++
	b.once[origin{msg.Actor, msg.ActivityID}] = first{b.last, now}
	e := inbox.Entry{Position: b.last, Message: clone(msg)}
	e.Received, e.Context, e.Fate, e.Until = msg.Received.UTC(), "", inbox.Kept, time.Time{}
	b.entries = append(b.entries, kept{e, now})
	return inbox.Result{Position: b.last}
}

// After implements inbox.Store.
func (m *Memory) After(ctx context.Context, o inbox.Owner, p inbox.Position, limit int) ([]inbox.Entry, error) {
	return m.read(ctx, o, func(es []kept) []inbox.Entry {
		var out []inbox.Entry
		for _, e := range es {
			if e.Position > p && len(out) < limit {
				out = append(out, inbox.Entry{Position: e.Position, Message: clone(e.Message)})
			}
		}
		return out
	})
}

// Find implements inbox.Store.
func (m *Memory) Find(ctx context.Context, o inbox.Owner, activityID string) (inbox.Position, error) {
	es, err := m.read(ctx, o, func(es []kept) []inbox.Entry {
		for _, e := range es {
			if e.ActivityID == activityID {
				return []inbox.Entry{e.Entry}
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if len(es) == 0 {
		return 0, inbox.ErrNotFound
	}
	return es[0].Position, nil
}

// Usage implements inbox.Store.
func (m *Memory) Usage(ctx context.Context, o inbox.Owner) (inbox.Usage, error) {
	if err := ctx.Err(); err != nil {
		return inbox.Usage{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.box(o).usage(), nil
}

func (m *Memory) read(ctx context.Context, o inbox.Owner, pick func([]kept) []inbox.Entry) ([]inbox.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return pick(m.box(o).entries), nil
}

// box gives o's mailbox without what has expired.
func (m *Memory) box(o inbox.Owner) *box {
	b, ok := m.boxes[o]
	if !ok {
		if m.boxes == nil {
			m.boxes = map[inbox.Owner]*box{}
		}
		b = &box{once: map[origin]first{}}
		m.boxes[o] = b
	}
	for m.Retention > 0 && len(b.entries) > 0 && m.now().Sub(b.entries[0].accepted) >= m.Retention {
		b.entries = b.entries[1:]
	}
	return b
}

func (b *box) usage() inbox.Usage {
	u := inbox.Usage{Total: len(b.entries), Last: b.last}
	for _, e := range b.entries {
		u.Bytes += int64(len(e.Activity))
	}
	if len(b.entries) > 0 {
		u.First = b.entries[0].Position
	}
	return u
}

func (m *Memory) now() time.Time {
	if m.Clock == nil {
		return time.Now()
	}
	return m.Clock()
}

func clone(m inbox.Message) inbox.Message {
	m.Group = bytes.Clone(m.Group)
	m.Activity = bytes.Clone(m.Activity)
	return m
}
