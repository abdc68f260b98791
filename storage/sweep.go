package storage

import (
	"errors"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
)

// patience is how long a bucket must have been over, in time that no clock can jump, before the store drops it by
// itself: a clock that leaps ahead and is set right again within it has lost nobody a message.
const patience = time.Hour

func (s *Store) sweepQuietly() {
	err := s.unhurt(func() error { return s.dropExpired(s.longOver(s.buckets.expired(s.now()), time.Now())) })
	if err != nil && !errors.Is(err, inbox.ErrUnavailable) {
		s.opt.Log.Warn("expired messages could not be dropped", "error", err)
	}
}

// sweepNow drops expired buckets whole and takes them out of the registry. Their
// messages stopped being read when they expired; a bucket that could not be
// emptied, or a crash on the way, only means that the next sweep does it again.
func (s *Store) sweepNow() error { return s.dropExpired(s.buckets.expired(s.now())) }

// longOver gives those of the expired that have been so for the patience. moment has a monotonic reading.
func (s *Store) longOver(expired []bucket, moment time.Time) (long []bucket) {
	seen := map[uint32]time.Time{}
	for _, one := range expired {
		first, ok := s.over[one.serial]
		if !ok {
			first = moment
		}
		if seen[one.serial] = first; one.dropped || moment.Sub(first) >= min(patience, s.opt.Retention/10) {
			long = append(long, one)
		}
	}
	s.over = seen
	return long
}

func (s *Store) dropExpired(expired []bucket) error {
	if err := s.broken.Load(); err != nil {
		return *err
	}
	if len(expired) == 0 {
		return nil
	}
	if err := s.disk.spare(); err != nil {
		return err // Badger writes the memtable out before it drops
	}
	for i := range expired {
		expired[i].dropped, expired[i].messages, expired[i].bytes = true, 0, 0
		s.buckets.put(expired[i])
	}
	if err := s.drop(expired); err != nil {
		return err
	}
	return s.unregister(slices.DeleteFunc(expired, s.hasRows))
}

// drop makes Badger forget the messages of expired buckets. Reads wait while it
// does; that is once per bucket, a thirtieth of the retention.
func (s *Store) drop(expired []bucket) error {
	var prefixes [][]byte
	for _, one := range expired {
		if s.hasRows(one) {
			prefixes = append(prefixes, bucketPrefix(one.serial))
		}
	}
	if len(prefixes) == 0 {
		return nil
	}
	if err := s.db.DropPrefix(prefixes...); err != nil {
		return s.breakDown(err) // Badger is left without a memtable
	}
	if err := s.disk.follow(); err != nil {
		return s.breakDown(err)
	}
	s.opt.Log.Debug("expired messages dropped", "buckets", len(prefixes))
	return nil
}

// hasRows says whether the engine still has messages of the bucket.
func (s *Store) hasRows(one bucket) bool {
	txn := s.db.NewTransactionAt(s.durable.Load(), false)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{Prefix: bucketPrefix(one.serial)})
	defer it.Close()
	it.Rewind()
	return it.Valid()
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
