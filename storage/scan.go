package storage

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// pieceBytes is about how much one piece of a scan reads before it lets go of the engine.
const pieceBytes = 1 << 20

// pins are the timestamps whose rows must not be let go of.
type pins struct {
	mu     sync.Mutex
	at     map[uint64]int
	backup moment
}

func (p *pins) add(ts uint64, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[uint64]int{}
	}
	if p.at[ts] += n; p.at[ts] == 0 {
		delete(p.at, ts)
	}
}

// hold pins the moment of a backup instead of any earlier one.
func (p *pins) hold(m moment) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backup = m
}

// holds says whether it is m that is held.
func (p *pins) holds(m moment, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.backup.At == m.At && bytes.Equal(p.backup.Salt, m.Salt) && now.Before(p.backup.Until)
}

// oldest gives the oldest pin, or ts.
func (p *pins) oldest(ts uint64, now time.Time) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Before(p.backup.Until) {
		ts = min(ts, p.backup.At)
	}
	for at := range p.at {
		ts = min(ts, at)
	}
	return ts
}

// scan hands f every row whose key begins with prefix, in the order of keys, as of one moment. It reads in
// pieces, so that nothing waits for f, however slow that is. f owns the rows.
func (s *Store) scan(ctx context.Context, prefix []byte, f func(*badger.Entry) error) error {
	return s.scanFrom(ctx, prefix, prefix, f)
}

// scanFrom is scan from a key on.
func (s *Store) scanFrom(ctx context.Context, prefix, from []byte, f func(*badger.Entry) error) error {
	s.life.RLock()
	at := s.durable.Load()
	s.pins.add(at, 1)
	s.life.RUnlock()
	defer s.pins.add(at, -1)
	return s.scanAt(ctx, at, prefix, from, f)
}

// scanAt is scanFrom as of a pinned moment.
func (s *Store) scanAt(ctx context.Context, at uint64, prefix, from []byte, f func(*badger.Entry) error) error {
	for from != nil {
		piece, next, err := s.piece(at, prefix, from)
		if err != nil {
			return err
		}
		for _, one := range piece {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f(one); err != nil {
				return err
			}
		}
		from = next
	}
	return nil
}

// piece gives rows from a key on, and the key to go on with; nil when there are no more.
func (s *Store) piece(at uint64, prefix, from []byte) (rows []*badger.Entry, next []byte, err error) {
	err = s.viewAt(at, func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix}) // values lie beside their keys
		defer it.Close()
		size := 0
		for it.Seek(from); it.Valid(); it.Next() {
			item := it.Item()
			if size > pieceBytes {
				next = item.KeyCopy(nil)
				return nil
			}
			value, err := item.ValueCopy(nil)
			if err != nil {
				return err
			}
			size += len(item.Key()) + len(value)
			rows = append(rows, &badger.Entry{Key: item.KeyCopy(nil), Value: value, ExpiresAt: item.ExpiresAt()})
		}
		return nil
	})
	return rows, next, err
}

// contains says whether a row has b anywhere.
func contains(row *badger.Entry, b []byte) bool {
	return bytes.Contains(row.Key, b) || bytes.Contains(row.Value, b)
}
