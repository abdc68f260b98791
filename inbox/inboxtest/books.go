package inboxtest

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

var _ inbox.Books = (*Memory)(nil)

type keptRow struct {
	value []byte
	until time.Time // zero: for ever
}

// ReadRows implements inbox.Books.
func (m *Memory) ReadRows(ctx context.Context, f func(inbox.Ledger) error) error {
	return m.ChangeRows(ctx, f)
}

// ChangeRows implements inbox.Books.
func (m *Memory) ChangeRows(ctx context.Context, f func(inbox.Ledger) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return f(memoryLedger{m})
}

// Learn notes a lesson, as a Store does that takes submissions.
func (m *Memory) Learn(ctx context.Context, lesson inbox.Lesson) error {
	return m.ChangeRows(ctx, func(l inbox.Ledger) error { return m.Door.Complete(0).Learn(l, m.now(), lesson) })
}

// memoryLedger is used with Memory.mu locked.
type memoryLedger struct{ m *Memory }

// Row implements inbox.Ledger.
func (l memoryLedger) Row(r inbox.Row) ([]byte, error) {
	one, ok := l.m.rows[r]
	if !ok || !one.until.IsZero() && l.m.now().After(one.until) {
		return nil, nil
	}
	return bytes.Clone(one.value), nil
}

// SetRow implements inbox.Ledger.
func (l memoryLedger) SetRow(r inbox.Row, value []byte, life time.Duration) error {
	if value == nil {
		delete(l.m.rows, r)
		return nil
	}
	if l.m.rows == nil {
		l.m.rows = map[inbox.Row]keptRow{}
	}
	one := keptRow{value: bytes.Clone(value)}
	if life > 0 {
		one.until = l.m.now().Add(life + 24*time.Hour)
	}
	l.m.rows[r] = one
	return nil
}

// Rows implements inbox.Ledger.
func (l memoryLedger) Rows(kind inbox.RowKind, o inbox.Owner, name string) ([][]byte, error) {
	keys := slices.SortedFunc(maps.Keys(l.m.rows), func(a, b inbox.Row) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.N, b.N))
	})
	var out [][]byte
	for _, r := range keys {
		if r.Kind != kind || r.Owner != o || name != "" && r.Name != name {
			continue
		}
		if value, _ := l.Row(r); value != nil {
			out = append(out, value)
		}
	}
	return out, nil
}

// Deliver implements inbox.Ledger.
func (l memoryLedger) Deliver(m *inbox.Message) (inbox.Result, error) {
	return l.m.deposit(l.m.box(m.Owner), *m), nil
}

// Room implements inbox.Ledger.
func (l memoryLedger) Room(o inbox.Owner) (int64, error) {
	if l.m.Quota == 0 {
		return math.MaxInt64, nil
	}
	return l.m.Quota - l.m.box(o).usage().Bytes, nil
}

// Share implements inbox.Ledger.
func (l memoryLedger) Share(o inbox.Owner, actor string) (int64, error) {
	if l.m.Share == 0 {
		return math.MaxInt64, nil
	}
	left := l.m.Share
	for _, e := range l.m.box(o).entries {
		if e.Actor == actor {
			left -= int64(len(e.Activity))
		}
	}
	for r, one := range l.m.rows {
		if r.Kind != inbox.WaitingRow || r.Owner != o {
			continue
		}
		stay, err := inbox.DecodeStay(one.value)
		if err != nil {
			return 0, err
		}
		if stay.Actor == actor && (stay.Ends.IsZero() || l.m.now().Before(stay.Ends)) {
			left -= stay.Bytes
		}
	}
	return left, nil
}
