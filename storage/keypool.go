package storage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
)

// The first byte of the key directory's keys. One person's poolKey rows lie
// together, so that reading a collection is one scan over a prefix.
const (
	poolKey    = 'D'
	contentKey = 'C'
	logKey     = 'L'
	traceKey   = 'T'
)

const (
	changeWeight  = 8 << 10 // what a change writes besides contents, where it writes little
	packageWeight = 1 << 10 // per package it adds, with its log entry and traces
)

var _ inbox.KeyStore = (*Store)(nil)

// Pool implements inbox.KeyStore.
func (s *Store) Pool(ctx context.Context, o inbox.Owner) (inbox.Pool, error) {
	p, err := s.pool(ctx, o)
	if err != nil {
		return inbox.Pool{}, err
	}
	return p.Pool, nil
}

// pool reads one person's rows as they are durable now.
func (s *Store) pool(ctx context.Context, o inbox.Owner) (p *pool, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = s.view(func(txn *badger.Txn) (err error) {
		p, err = readPool(txn, s.keys.pool(o))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read a key pool: %w", err)
	}
	return p, nil
}

// Content implements inbox.KeyStore.
func (s *Store) Content(ctx context.Context, o inbox.Owner, id string) ([]byte, error) {
	value, err := s.read(ctx, s.keys.pool(o).named(contentKey, id))
	if isMissing(err) {
		return nil, inbox.ErrNoPackage
	}
	return value, err
}

// Trace implements inbox.KeyStore.
func (s *Store) Trace(ctx context.Context, name string) (inbox.Trace, error) {
	value, err := s.read(ctx, s.keys.trace(name).key(traceKey))
	if isMissing(err) {
		return inbox.Trace{}, inbox.ErrNoPackage
	}
	if err != nil {
		return inbox.Trace{}, err
	}
	t, err := decodeTrace(name, value)
	if err == nil && isOver(t, s.now()) {
		return inbox.Trace{}, inbox.ErrNoPackage
	}
	return t, err
}

// isOver: a trace holds to the end of its last second.
func isOver(t inbox.Trace, now time.Time) bool { return now.Unix() > t.Until.Unix() }

// History implements inbox.KeyStore.
func (s *Store) History(ctx context.Context, o inbox.Owner, after uint64, limit int) ([]inbox.LogEntry, error) {
	var out []inbox.LogEntry
	box := s.keys.pool(o)
	err := s.view(func(txn *badger.Txn) error {
		opt := badger.DefaultIteratorOptions
		opt.Prefix = box.key(logKey)
		it := txn.NewIterator(opt)
		defer it.Close()
		for it.Seek(logKeyOf(box, after+1)); it.Valid() && len(out) < limit; it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			err := it.Item().Value(func(v []byte) error {
				e, err := decodeEntry(v)
				out = append(out, e)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read a key log: %w", err)
	}
	return out, nil
}

// ChangePool implements inbox.KeyStore. f first runs on what is durable now: where it
// fails or changes nothing that is its answer, and the committer is not troubled;
// else it tells how much there will be to write.
func (s *Store) ChangePool(ctx context.Context, o inbox.Owner, f func(*inbox.Change) error) error {
	seen, weight, err := s.rehearse(ctx, o, f)
	if err != nil || weight == 0 {
		return err
	}
	var ruled error // written by the committer before it answers
	r := &request{weight: weight}
	r.change = func(p *post) (err error) {
		ruled, err = p.changePool(o, seen, f)
		return err
	}
	if err := s.submit(ctx, r); err != nil {
		return err
	}
	return ruled
}

// rehearse runs f on a snapshot and weighs what it would write; 0 is nothing.
func (s *Store) rehearse(ctx context.Context, o inbox.Owner, f func(*inbox.Change) error) (*pool, int64, error) {
	p, err := s.pool(ctx, o)
	if err != nil {
		return nil, 0, err
	}
	c := p.copy()
	if err := f(c); err != nil {
		return nil, 0, err
	}
	weight := int64(changeWeight) + packageWeight*int64(len(c.Entries)+len(c.Traces))
	for _, content := range c.Contents {
		weight += int64(len(content))
	}
	if len(c.Contents)+len(c.Entries)+len(c.Traces) == 0 && !p.differs(c) {
		weight = 0
	}
	return p, weight, nil
}

// pool is one person's rows, decoded. Every change of any of them makes a new
// version, which stands in the head: where that is the same all of it is.
type pool struct {
	inbox.Pool
	version uint64
	head    []byte // as it is on disk; nil when there is none
}

// copy is a pool for f to change in place. What its elements point to is shared:
// nobody changes that.
func (p *pool) copy() *inbox.Change {
	c := &inbox.Change{Pool: p.Pool}
	c.Packages = slices.Clone(c.Packages)
	c.Devices = slices.Clone(c.Devices)
	c.Notices = slices.Clone(c.Notices)
	return c
}

// differs says whether rows must be written to get from p to c.
func (p *pool) differs(c *inbox.Change) bool {
	if len(c.Packages) != len(p.Packages) || !bytes.Equal(encodeHead(&p.Pool, 0), encodeHead(&c.Pool, 0)) {
		return true
	}
	for i := range c.Packages {
		if !same(&p.Packages[i], &c.Packages[i]) {
			return true
		}
	}
	return false
}

// same compares packages in every field.
func same(a, b *inbox.Package) bool {
	return a.ID == b.ID && a.N == b.N && a.Activity == b.Activity && a.Device == b.Device && a.Suite == b.Suite &&
		a.Signer == b.Signer && a.State == b.State && a.LastResort == b.LastResort && a.Verified == b.Verified &&
		a.Published.Equal(b.Published) && a.NotAfter.Equal(b.NotAfter) && a.Size == b.Size &&
		a.Hold.By == b.Hold.By && a.Hold.Until.Equal(b.Hold.Until) &&
		bytes.Equal(a.Ref, b.Ref) && slices.Equal(a.Aliases, b.Aliases)
}

// readPool scans one person's rows: the head, whose key is the prefix itself, and
// the packages.
func readPool(txn *badger.Txn, box hashed) (*pool, error) {
	p := &pool{}
	opt := badger.DefaultIteratorOptions
	opt.Prefix = box.key(poolKey)
	opt.PrefetchValues = false // they lie beside their keys
	it := txn.NewIterator(opt)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		err := item.Value(func(value []byte) error { return p.add(string(item.Key()[len(opt.Prefix):]), value) })
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(p.Packages, func(a, b inbox.Package) int { return cmp.Compare(a.N, b.N) })
	return p, nil
}

func (p *pool) add(id string, value []byte) (err error) {
	if id == "" {
		p.head = slices.Clone(value)
		p.version, err = decodeHead(value, &p.Pool)
		return err
	}
	one, err := decodePackage(id, value)
	p.Packages = append(p.Packages, one)
	return err
}

// changePool runs f in the committer's transaction. seen is the pool of a little
// earlier. ruled is f's own no, or ErrReused; then nothing was written.
func (p *post) changePool(o inbox.Owner, seen *pool, f func(*inbox.Change) error) (ruled, err error) {
	box := p.s.keys.pool(o)
	kept, err := p.pool(box, seen)
	if err != nil {
		return nil, err
	}
	c := kept.copy()
	if ruled := f(c); ruled != nil {
		return ruled, nil
	}
	if ruled, err := p.leaveTraces(c.Traces); ruled != nil || err != nil {
		return ruled, err
	}
	for _, e := range c.Entries {
		if err := p.set(logKeyOf(box, e.N), encodeEntry(&e), 0); err != nil {
			return nil, err
		}
	}
	return nil, p.keepPool(box, kept, c)
}

// pool gives a person's rows: as the group has left them, as they were seen where
// the head is still the same, or read again.
func (p *post) pool(box hashed, seen *pool) (*pool, error) {
	if kept, ok := p.pools[box]; ok {
		return kept, nil
	}
	head, err := get(p.txn, box.key(poolKey))
	if err != nil && !isMissing(err) {
		return nil, err
	}
	if !bytes.Equal(head, seen.head) {
		if seen, err = readPool(p.txn, box); err != nil {
			return nil, err
		}
	}
	if p.pools == nil {
		p.pools = map[hashed]*pool{}
	}
	p.pools[box] = seen
	return seen, nil
}

// leaveTraces makes all of them, or says that one is there and makes none.
func (p *post) leaveTraces(traces []inbox.Trace) (ruled, err error) {
	keys := map[hashed]bool{}
	for _, t := range traces {
		h := p.s.keys.trace(t.Name)
		old, err := get(p.txn, h.key(traceKey))
		if err != nil && !isMissing(err) {
			return nil, err
		}
		if err == nil {
			was, err := decodeTrace(t.Name, old)
			if err != nil {
				return nil, err
			}
			keys[h] = !isOver(was, p.now)
		}
		if keys[h] {
			return inbox.ErrReused, nil
		}
		keys[h] = true
	}
	for _, t := range traces {
		if err := p.set(p.s.keys.trace(t.Name).key(traceKey), encodeTrace(&t), p.until(t.Until)); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// keepPool writes what differs, with a new version, and makes c what the group sees
// next.
func (p *post) keepPool(box hashed, kept *pool, c *inbox.Change) error {
	if len(c.Contents) == 0 && !kept.differs(c) {
		return nil
	}
	next := &pool{Pool: c.Pool, version: kept.version + 1}
	next.head = encodeHead(&c.Pool, next.version)
	if err := p.set(box.key(poolKey), next.head, 0); err != nil {
		return err
	}
	gone := make(map[string]*inbox.Package, len(kept.Packages))
	for i := range kept.Packages {
		gone[kept.Packages[i].ID] = &kept.Packages[i]
	}
	for i := range c.Packages {
		one := &c.Packages[i]
		if err := p.keepPackage(box, one, gone[one.ID], c.Contents); err != nil {
			return err
		}
		delete(gone, one.ID)
	}
	for id := range gone {
		p.writes++
		if err := errors.Join(p.txn.Delete(box.named(poolKey, id)), p.txn.Delete(box.named(contentKey, id))); err != nil {
			return err
		}
	}
	p.pools[box] = next
	return nil
}

func (p *post) keepPackage(box hashed, one, old *inbox.Package, contents map[string][]byte) error {
	if old == nil || !same(one, old) {
		if err := p.set(box.named(poolKey, one.ID), encodePackage(one), p.until(one.NotAfter)); err != nil {
			return err
		}
	}
	content, isNew := contents[one.ID]
	if !isNew {
		return nil
	}
	return p.set(box.named(contentKey, one.ID), slices.Clone(content), p.until(one.NotAfter))
}

// until is the lifetime of a row that nobody asks for after that moment.
func (p *post) until(t time.Time) time.Duration { return max(time.Second, t.Sub(p.now)) }
