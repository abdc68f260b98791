package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
)

// ErrNotKept means that no value is kept under that name.
var ErrNotKept = fmt.Errorf("storage: no such value: %w", inbox.ErrNotFound)

// Keep keeps value durably under name, over any earlier one: the gateway's own
// keys and such. Values are at most 512 KiB.
func (s *Store) Keep(ctx context.Context, name string, value []byte) error {
	if len(value) > partSize || len(name) > 1024 {
		return fmt.Errorf("storage: value %q of %d bytes is too large to keep", name, len(value))
	}
	return s.write(ctx, row{append([]byte{valueKey}, name...), bytes.Clone(value)})
}

// Kept gives the value kept under name, or ErrNotKept.
func (s *Store) Kept(ctx context.Context, name string) ([]byte, error) {
	value, err := s.read(ctx, append([]byte{valueKey}, name...))
	if isMissing(err) {
		return nil, ErrNotKept
	}
	return value, err
}

// write commits rows in one transaction.
func (s *Store) write(ctx context.Context, rows ...row) error {
	return s.submit(ctx, &request{rows: rows})
}

func (s *Store) read(ctx context.Context, key []byte) (value []byte, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = s.view(func(txn *badger.Txn) error {
		value, err = get(txn, key)
		return err
	})
	return value, err
}

// get copies a value.
func get(txn *badger.Txn, key []byte) ([]byte, error) {
	item, err := txn.Get(key)
	if err != nil {
		return nil, err
	}
	return item.ValueCopy(nil)
}

// getParts joins the parts of a value, whose keys begin with prefix: it ends with the first that is shorter than the others, or
// not there.
func getParts(txn *badger.Txn, prefix []byte) (value []byte, err error) {
	for part := uint8(0); ; part++ {
		piece, err := get(txn, append(prefix, part))
		if isMissing(err) && part > 0 {
			return value, nil
		}
		if err != nil {
			return nil, err
		}
		if value = append(value, piece...); len(piece) < partSize {
			return value, nil
		}
	}
}

// isMissing tells an absent key from a broken store.
func isMissing(err error) bool { return errors.Is(err, badger.ErrKeyNotFound) }

// lasting is a row that goes by itself, or, without a lifetime, now.
type lasting struct {
	row
	lifetime time.Duration
}

// writeLasting commits rows in one transaction.
func (s *Store) writeLasting(ctx context.Context, rows []lasting) error {
	r := &request{change: func(p *post) error { return p.last(rows) }}
	for _, one := range rows {
		r.weight += int64(len(one.value)) + letterOverhead
	}
	return s.submit(ctx, r)
}

func (p *post) last(rows []lasting) error {
	for _, one := range rows {
		var err error
		if one.lifetime == 0 {
			p.writes++
			err = p.txn.Delete(one.key)
		} else {
			err = p.set(one.key, one.value, one.lifetime)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
