package ratelimit

import "sync"

// slots per bucket: enough that an uneven spread of hashes rarely fills one
// bucket while others are empty.
const slots = 8

// A slot remembers one key's theoretical arrival time in Unix nanoseconds. A
// time not after now means a full allowance, so such a slot is free to take.
type slot struct {
	key Key
	tat int64
}

// A bucket is the set of slots a key can be in, under a lock of its own.
type bucket struct {
	mu    sync.Mutex
	slots [slots]slot
}

// find returns the slot of k, or nil.
func (b *bucket) find(k Key) *slot {
	for i := range b.slots {
		if b.slots[i].key == k {
			return &b.slots[i]
		}
	}
	return nil
}
