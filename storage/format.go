package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

const (
	formatVersion = 1
	secretSize    = 32
)

// loadFormat reads the format record, or writes the first one into a new store.
func (s *Store) loadFormat() error {
	var value []byte
	err := s.view(func(txn *badger.Txn) (err error) {
		value, err = get(txn, []byte{formatKey})
		return err
	})
	if isMissing(err) && s.durable.Load() == 0 {
		value, err = s.createFormat()
	}
	if isMissing(err) || errors.Is(err, ErrDamaged) {
		if err := s.readTables(context.Background()); err != nil {
			return fmt.Errorf("%w; move %s (storage.path) away and restore the last backup", err, s.opt.Path)
		}
		return fmt.Errorf("%w: %s (storage.path) is a Badger directory that Sealgate did not make", ErrFormat, s.opt.Path)
	}
	if err != nil {
		return fmt.Errorf("read the format of %s: %w", s.opt.Path, err)
	}
	if value[0] != formatVersion || len(value) != 1+secretSize {
		return fmt.Errorf("%w: %s (storage.path) has format %d, this program reads %d; run the version that wrote it", ErrFormat, s.opt.Path, value[0], formatVersion)
	}
	s.keys = keyring{secret: value[1:]}
	return nil
}

func (s *Store) createFormat() ([]byte, error) {
	value := append([]byte{formatVersion}, newSecret()...)
	if err := s.disk.claim(); err != nil {
		return nil, err
	}
	txn := s.db.NewTransactionAt(0, true)
	defer txn.Discard()
	if err := txn.Set([]byte{formatKey}, value); err != nil {
		return nil, err
	}
	return value, s.persist(txn)
}

// newSecret is what a keyring derives from.
func newSecret() []byte {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // it never fails
	return secret
}
