package inboxtest

import (
	"bytes"
	"context"
	"slices"

	"github.com/sealgate/sealgate/inbox"
)

var _ inbox.Keeper = (*Memory)(nil)

// Trim implements inbox.Keeper.
func (m *Memory) Trim(ctx context.Context, o inbox.Owner, through inbox.Position) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(o)
	b.entries = slices.DeleteFunc(b.entries, func(e kept) bool { return e.Position <= through })
	return nil
}

// Keep implements inbox.Keeper.
func (m *Memory) Keep(ctx context.Context, name string, value []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.values == nil {
		m.values = map[string][]byte{}
	}
	m.values[name] = bytes.Clone(value)
	return nil
}

// Kept implements inbox.Keeper.
func (m *Memory) Kept(ctx context.Context, name string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.values[name]
	if !ok {
		return nil, inbox.ErrNotFound
	}
	return bytes.Clone(value), nil
}
