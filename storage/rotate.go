package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

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
		if err := s.Writable(); err != nil {
			return err // closing the engine writes a table
		}
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

// RotateKeyFile makes a new key and puts the store and the key file at path under it; the key of before is kept
// beside it, for older backups, under the name that is returned. Interrupted at any moment, OpenFile finds the
// key that holds. Rotations wait for one another, and one that has begun is not given up when ctx ends.
func (s *Store) RotateKeyFile(ctx context.Context, path string) (former string, err error) {
	s.rotating.Lock()
	defer s.rotating.Unlock()
	if err := errors.Join(ctx.Err(), s.Writable()); err != nil {
		return "", err // a store that is broken may need the next key that is there
	}
	if err := s.clearNext(path); err != nil {
		return "", err
	}
	key, err := newKeyFile(path + nextSuffix)
	if err != nil {
		return "", fmt.Errorf("make the next key (storage.encryption_key): %w", err)
	}
	if err := s.RotateKey(context.WithoutCancel(ctx), key); err != nil {
		return "", err
	}
	return settleKey(path, s.now())
}

// clearNext makes room for a next key: the one that is there holds already, or never reached the store.
func (s *Store) clearNext(path string) error {
	text, err := os.ReadFile(path + nextSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the next key: %w", err)
	}
	if key, err := ParseKey(string(text)); err == nil && bytes.Equal(key, s.key()) {
		_, err = settleKey(path, s.now())
		return err
	}
	return os.Remove(path + nextSuffix)
}

// OpenFile is Open with the key file at path, which a first start makes.
func OpenFile(o Options, path string) (*Store, error) {
	var err error
	if o.Key, err = LoadOrCreateKey(path, o.Path); err != nil {
		return nil, err
	}
	s, err := Open(o)
	if !errors.Is(err, ErrKey) {
		return s, err
	}
	next, missing := os.ReadFile(path + nextSuffix)
	if missing != nil {
		return nil, err
	}
	if o.Key, err = ParseKey(string(next)); err != nil {
		return nil, fmt.Errorf("key file %s: %w", path+nextSuffix, err)
	}
	if s, err = Open(o); err != nil {
		return nil, err
	}
	if _, err := settleKey(path, s.now()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// nextSuffix is of the key that a rotation is about to use.
const nextSuffix = ".next"

// settleKey gives the next key its name, atomically, and keeps the one before under another.
func settleKey(path string, now time.Time) (former string, err error) {
	for ; ; now = now.Add(time.Second) { // a name that another key has is not its own
		former = path + ".until-" + now.UTC().Format("20060102T150405Z")
		if err = os.Link(path, former); !errors.Is(err, os.ErrExist) {
			break
		}
	}
	if err != nil {
		return "", fmt.Errorf("keep the former key: %w", err)
	}
	if err := os.Rename(path+nextSuffix, path); err != nil {
		return "", fmt.Errorf("use the next key: %w", err)
	}
	return former, syncFile(filepath.Dir(path))
}
