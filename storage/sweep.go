package storage

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
)

func (s *Store) sweepQuietly() {
	err := s.sweepNow()
	if err != nil && !errors.Is(err, inbox.ErrUnavailable) {
		s.opt.Log.Warn("expired messages could not be dropped", "error", err)
	}
}

// sweepNow drops expired buckets whole and takes them out of the registry. Their
// messages stopped being read when they expired; a crash between the steps only
// means that an empty bucket is dropped again.
func (s *Store) sweepNow() error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	var prefixes [][]byte
	expired := s.buckets.expired(s.now())
	for i := range expired {
		if !expired[i].dropped {
			prefixes = append(prefixes, bucketPrefix(expired[i].serial))
		}
	}
	if len(prefixes) > 0 {
		if err := s.drop(expired, prefixes); err != nil {
			return err
		}
	}
	return s.unregister(expired)
}

// drop needs room itself: Badger writes the memtable out first, and reads wait
// while it does. That is once per bucket, a thirtieth of the retention.
func (s *Store) drop(expired []bucket, prefixes [][]byte) error {
	if free, err := s.disk.free(s.opt.Path); err != nil || free < s.opt.Reserve/2 {
		return errors.Join(fmt.Errorf("%w: no room under storage.path to drop expired messages", inbox.ErrUnavailable), err)
	}
	for i := range expired {
		expired[i].dropped, expired[i].messages, expired[i].bytes = true, 0, 0
		s.buckets.put(expired[i])
	}
	if err := s.db.DropPrefix(prefixes...); err != nil {
		return s.breakDown(err) // Badger is left without a memtable
	}
	s.opt.Log.Debug("expired messages dropped", "buckets", len(prefixes))
	return nil
}

// unregister forgets dropped buckets but for the newest, whose serial must not
// come again.
func (s *Store) unregister(dropped []bucket) error {
	txn := s.db.NewTransactionAt(s.durable.Load(), true)
	defer txn.Discard()
	writes := 0
	for _, one := range dropped {
		changed, err := s.unregisterOne(txn, one)
		if err != nil {
			return err
		}
		writes += changed
	}
	if writes == 0 {
		return nil
	}
	if err := s.persist(txn); err != nil {
		return err
	}
	for _, one := range dropped {
		if one.serial != s.buckets.top {
			s.buckets.remove(one.serial)
		}
	}
	return nil
}

func (s *Store) unregisterOne(txn *badger.Txn, one bucket) (writes int, err error) {
	key := bucketKeyOf(one.serial)
	if one.serial != s.buckets.top {
		return 1, txn.Delete(key)
	}
	value, err := get(txn, key)
	if err != nil {
		return 0, err
	}
	if string(value) == string(one.encode()) {
		return 0, nil
	}
	return 1, txn.Set(key, one.encode())
}
