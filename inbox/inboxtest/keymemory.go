package inboxtest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// KeyMemory is an inbox.KeyStore in memory. The zero value has the wall clock. It
// is safe for concurrent use.
type KeyMemory struct {
	Clock func() time.Time

	mu     sync.Mutex
	people map[inbox.Owner]*person
	traces map[string]inbox.Trace
}

type person struct {
	pool     inbox.Pool
	contents map[string][]byte
	log      []inbox.LogEntry
}

var _ inbox.KeyStore = (*KeyMemory)(nil)

// Pool implements inbox.KeyStore.
func (m *KeyMemory) Pool(ctx context.Context, o inbox.Owner) (inbox.Pool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.people[o]; p != nil {
		return copyPool(p.pool), ctx.Err()
	}
	return inbox.Pool{}, ctx.Err()
}

// Content implements inbox.KeyStore.
func (m *KeyMemory) Content(ctx context.Context, o inbox.Owner, id string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.people[o]; p != nil {
		if content, ok := p.contents[id]; ok {
			return bytes.Clone(content), ctx.Err()
		}
	}
	return nil, inbox.ErrNoPackage
}

// ChangePool implements inbox.KeyStore.
func (m *KeyMemory) ChangePool(ctx context.Context, o inbox.Owner, f func(*inbox.Change) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.people[o]
	if p == nil {
		p = &person{contents: map[string][]byte{}}
	}
	c := &inbox.Change{Pool: copyPool(p.pool)}
	if err := f(c); err != nil {
		return err
	}
	if err := m.leave(c.Traces); err != nil {
		return err
	}
	if m.people == nil {
		m.people = map[inbox.Owner]*person{}
	}
	m.people[o] = p
	p.keep(c)
	return nil
}

// leave makes traces, all or none.
func (m *KeyMemory) leave(traces []inbox.Trace) error {
	made := map[string]inbox.Trace{}
	for _, t := range traces {
		if old, ok := m.traces[t.Name]; ok && !m.now().After(old.Until) {
			return inbox.ErrReused
		}
		if _, twice := made[t.Name]; twice {
			return inbox.ErrReused
		}
		t.Until = t.Until.UTC()
		made[t.Name] = t
	}
	if m.traces == nil {
		m.traces = map[string]inbox.Trace{}
	}
	maps.Copy(m.traces, made)
	return nil
}

func (p *person) keep(c *inbox.Change) {
	p.pool = copyPool(c.Pool)
	for id, content := range c.Contents {
		p.contents[id] = bytes.Clone(content)
	}
	maps.DeleteFunc(p.contents, func(id string, _ []byte) bool {
		return !slices.ContainsFunc(c.Packages, func(one inbox.Package) bool { return one.ID == id })
	})
	for _, e := range c.Entries {
		p.log = append(p.log, copyEntry(e))
	}
}

// Trace implements inbox.KeyStore.
func (m *KeyMemory) Trace(ctx context.Context, name string) (inbox.Trace, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.traces[name]
	if !ok || m.now().After(t.Until) {
		return inbox.Trace{}, inbox.ErrNoPackage
	}
	return t, ctx.Err()
}

// History implements inbox.KeyStore.
func (m *KeyMemory) History(ctx context.Context, o inbox.Owner, after uint64, limit int) ([]inbox.LogEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []inbox.LogEntry
	if p := m.people[o]; p != nil {
		for _, e := range p.log {
			if e.N > after && len(out) < limit {
				out = append(out, copyEntry(e))
			}
		}
	}
	return out, ctx.Err()
}

func (m *KeyMemory) now() time.Time {
	if m.Clock == nil {
		return time.Now()
	}
	return m.Clock()
}

func copyPool(p inbox.Pool) inbox.Pool {
	p.Packages = slices.Clone(p.Packages)
	for i := range p.Packages {
		one := &p.Packages[i]
		one.Aliases, one.Ref = slices.Clone(one.Aliases), bytes.Clone(one.Ref)
	}
	slices.SortFunc(p.Packages, func(a, b inbox.Package) int { return int(a.N) - int(b.N) })
	p.Devices = slices.Clone(p.Devices)
	for i := range p.Devices {
		keys := slices.Clone(p.Devices[i].Keys)
		for j := range keys {
			keys[j] = bytes.Clone(keys[j])
		}
		p.Devices[i].Keys = keys
	}
	p.Notices = slices.Clone(p.Notices)
	for i := range p.Notices {
		p.Notices[i].Others = slices.Clone(p.Notices[i].Others)
	}
	return p
}

func copyEntry(e inbox.LogEntry) inbox.LogEntry {
	e.Ref, e.Signature = bytes.Clone(e.Ref), bytes.Clone(e.Signature)
	return e
}
