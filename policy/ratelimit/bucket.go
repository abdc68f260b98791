package ratelimit

import (
	"sync"
	"time"
)

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

// find returns the slot of k, or nil. now and tolerance are in nanoseconds.
func (b *bucket) find(k Key, now, tolerance int64) *slot {
	for i := range b.slots {
		if s := &b.slots[i]; s.key == k {
			s.turnBack(now, tolerance)
			return s
		}
	}
	return nil
}

// jitter is how far the clocks of events that meet can be apart.
const jitter = int64(time.Minute)

// turnBack follows a clock that was set back: no time is further ahead than a whole allowance. Time that will not pass
// again for long is forgiven, or whoever was counted would be shut out until the clock is where it was.
func (s *slot) turnBack(now, tolerance int64) {
	switch ahead := s.tat - now - tolerance; {
	case ahead > jitter:
		s.tat = now
	case ahead > 0:
		s.tat = now + tolerance
	}
}
