package storage

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// bucket is a span of time whose messages lie together and expire together.
// Serials only grow: when the clock is set back a new bucket begins, so a dropped
// one never comes to life again.
type bucket struct {
	serial     uint32
	start, end time.Time
	messages   uint64
	bytes      int64
	dropped    bool
}

// buckets is the registry in memory. Only the committer changes it.
type buckets struct {
	retention, width time.Duration

	mu  sync.RWMutex
	all map[uint32]bucket
	top uint32 // the newest serial, 0 before the first
}

func newBuckets(retention time.Duration) *buckets {
	return &buckets{
		retention: retention,
		width:     max(time.Second, retention/30),
		all:       map[uint32]bucket{},
	}
}

func (b *buckets) load(txn *badger.Txn) error {
	opt := badger.DefaultIteratorOptions
	opt.Prefix = []byte{bucketKey}
	it := txn.NewIterator(opt)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		if len(key) != len(bucketKeyOf(0)) {
			return errRecord
		}
		serial := binary.BigEndian.Uint32(key[1:])
		err := it.Item().Value(func(v []byte) error {
			one, err := decodeBucket(serial, v)
			b.all[serial], b.top = one, max(b.top, serial)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// current gives the bucket for now, a new one when the newest is over or lies in
// the future. It is remembered by put.
func (b *buckets) current(now time.Time) bucket {
	b.mu.RLock()
	defer b.mu.RUnlock()
	top, ok := b.all[b.top]
	if ok && !top.dropped && !now.Before(top.start) && now.Before(top.end) {
		return top
	}
	return bucket{serial: b.top + 1, start: now, end: now.Add(b.width)}
}

// get gives a registered bucket.
func (b *buckets) get(serial uint32) bucket {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.all[serial]
}

func (b *buckets) put(one bucket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all[one.serial] = one
	b.top = max(b.top, one.serial)
}

func (b *buckets) remove(serial uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.all, serial)
}

// alive gives the question whether a bucket's messages are still kept, as of now.
func (b *buckets) alive(now time.Time) func(serial uint32) bool {
	return func(serial uint32) bool {
		b.mu.RLock()
		defer b.mu.RUnlock()
		one, ok := b.all[serial]
		return ok && b.aliveAt(one, now)
	}
}

// registered says whether the bucket's messages may still be on disk.
func (b *buckets) registered(serial uint32) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	one, ok := b.all[serial]
	return ok && !one.dropped
}

func (b *buckets) aliveAt(one bucket, now time.Time) bool {
	return !one.dropped && now.Before(one.end.Add(b.retention))
}

// live sums the bytes of all mailboxes.
func (b *buckets) live(now time.Time) int64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var sum int64
	for _, one := range b.all {
		if b.aliveAt(one, now) {
			sum += one.bytes
		}
	}
	return sum
}

// expired gives the buckets whose time is over and that are still registered.
func (b *buckets) expired(now time.Time) []bucket {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []bucket
	for _, one := range b.all {
		if !b.aliveAt(one, now) {
			out = append(out, one)
		}
	}
	return out
}

func (one bucket) encode() []byte {
	var dropped uint64
	if one.dropped {
		dropped = 1
	}
	return appendUints(nil, uint64(one.start.UnixNano()), uint64(one.end.UnixNano()), one.messages, uint64(one.bytes), dropped)
}

func decodeBucket(serial uint32, value []byte) (bucket, error) {
	d := decoder{rest: value}
	one := bucket{
		serial:   serial,
		start:    time.Unix(0, d.int()),
		end:      time.Unix(0, d.int()),
		messages: d.uint(),
		bytes:    d.int(),
		dropped:  d.uint() == 1,
	}
	return one, d.end()
}
