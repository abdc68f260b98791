package storage

import (
	"context"
	"fmt"

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
	return s.write(ctx, row{append([]byte{valueKey}, name...), append([]byte(nil), value...)})
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
