package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// RotateKey puts the store under another encryption key, while it is used: the keys with which its files are
// encrypted, and which Badger itself changes every ten days, are wrapped anew. Backups made before open with the
// old key only. After an error the old key holds, unless the store says that it is broken.
func (s *Store) RotateKey(ctx context.Context, key []byte) error {
	if len(key) != KeySize {
		return fmt.Errorf("%w: a key has %d bytes", ErrKey, KeySize)
	}
	return s.submit(ctx, &request{engine: func() error {
		return s.reopen(func() error {
			if err := rewrap(s.opt.Path, s.opt.Key, key); err != nil {
				return fmt.Errorf("wrap the store's keys anew: %w", err)
			}
			s.opt.Key = key
			return nil
		})
	}})
}

// rewrap replaces the registry of a store that is closed, atomically.
func rewrap(path string, old, key []byte) error {
	o := badger.KeyRegistryOptions{Dir: path, ReadOnly: true, EncryptionKey: old}
	registry, err := badger.OpenKeyRegistry(o)
	if err != nil {
		return err
	}
	o.EncryptionKey = key
	return errors.Join(badger.WriteKeyRegistry(registry, o), syncFile(path))
}

// key is the one that holds now.
func (s *Store) key() []byte {
	s.life.RLock()
	defer s.life.RUnlock()
	return s.opt.Key
}
