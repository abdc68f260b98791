// Package ratelimit counts events per key with the generic cell rate algorithm
// (GCRA) in a table whose size never changes.
//
// Each key costs one timestamp. Keys are stored as seeded 64-bit hashes, so
// nobody outside can aim at a slot, and ten million distinct keys need no more
// memory than ten. When a bucket is full the key nearest to a full allowance
// gives way: forgetting it forgives the least. The clock is passed in; the
// package starts nothing, logs nothing and imports nothing of ours.
package ratelimit

import (
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync/atomic"
	"time"
)

// Rate is an allowance: Burst events at once, refilled evenly at Max per Every.
type Rate struct {
	Max   int           // events per Every; below 1 counts as 1
	Every time.Duration // at most about 290 years / Burst
	Burst int           // 0: Max
}

// Options configure a Limiter.
type Options struct {
	Rate Rate
	Keys int // how many keys are told apart at least; rounded up, 0: 65,536 (1 MiB)
}

// Limiter is a fixed-size table of allowances. All methods may be called
// concurrently and allocate nothing.
type Limiter struct {
	seed      maphash.Seed
	rate      Rate
	emission  int64 // nanoseconds one event costs
	tolerance int64 // nanoseconds a full allowance is worth
	buckets   []bucket
	mask      uint64
	forgotten *atomic.Uint64
}

// New returns a Limiter with every key's allowance full.
func New(o Options) *Limiter {
	r := o.Rate
	r.Max = max(r.Max, 1)
	if r.Burst < 1 {
		r.Burst = r.Max
	}
	if o.Keys < 1 {
		o.Keys = 1 << 16
	}
	n := uint64(1) << bits.Len64(uint64(o.Keys-1)/slots)
	emission := max(int64(r.Every)/int64(r.Max), 1)
	return &Limiter{
		seed:      maphash.MakeSeed(),
		rate:      r,
		emission:  emission,
		tolerance: emission * int64(r.Burst),
		buckets:   make([]bucket, n),
		mask:      n - 1,
		forgotten: new(atomic.Uint64),
	}
}

// Forgotten is how many keys had to give way to others while they owed something, here and in the limiters that this one goes
// on with.
func (l *Limiter) Forgotten() uint64 { return l.forgotten.Load() }

// Rate is the allowance of each key.
func (l *Limiter) Rate() Rate { return l.rate }

// Key names what is counted. It is meaningful to one Limiter only.
type Key uint64

// Of is the key of a string.
func (l *Limiter) Of(s string) Key { return nonzero(maphash.String(l.seed, s)) }

// OfAll is the key of several strings together.
func (l *Limiter) OfAll(parts ...string) Key {
	var h maphash.Hash
	h.SetSeed(l.seed)
	for _, p := range parts {
		maphash.WriteComparable(&h, len(p))
		_, _ = h.WriteString(p) // it never fails
	}
	return nonzero(h.Sum64())
}

// OfAddr is the key of a client address: the address itself for IPv4, its /64
// for IPv6, because one subscriber owns all of that.
func (l *Limiter) OfAddr(a netip.Addr) Key {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		b := a.As4()
		return nonzero(maphash.Bytes(l.seed, b[:]))
	}
	b := a.As16()
	return nonzero(maphash.Bytes(l.seed, b[:8]))
}

// At returns a Limiter of another rate that goes on with what l has counted: as
// many events as a key has had of its old allowance it has had of the new one.
func (l *Limiter) At(r Rate, now time.Time) *Limiter {
	next := New(Options{Rate: r, Keys: 1})
	next.seed, next.mask, next.forgotten, next.buckets = l.seed, l.mask, l.forgotten, make([]bucket, len(l.buckets))
	t, scale := now.UnixNano(), float64(next.emission)/float64(l.emission)
	for i := range l.buckets {
		l.buckets[i].mu.Lock()
		next.buckets[i].slots = l.buckets[i].slots
		l.buckets[i].mu.Unlock()
		for j := range next.buckets[i].slots {
			s := &next.buckets[i].slots[j]
			s.tat = t + int64(min(float64(max(s.tat-t, 0))*scale, float64(next.tolerance)))
		}
	}
	return next
}

// Take counts one event of k at now. Zero means it was within the allowance;
// otherwise nothing was counted and the answer is how long until one would be.
func (l *Limiter) Take(k Key, now time.Time) time.Duration {
	b := &l.buckets[uint64(k)&l.mask]
	b.mu.Lock()
	defer b.mu.Unlock()
	t := now.UnixNano()
	s := b.find(k, t, l.tolerance)
	tat := t
	if s != nil {
		tat = max(s.tat, t)
	}
	if wait := tat + l.emission - t - l.tolerance; wait > 0 {
		return time.Duration(wait)
	}
	if s == nil {
		if s = b.claim(); s.tat > t {
			l.forgotten.Add(1)
		}
		s.key = k
	}
	s.tat = tat + l.emission
	return 0
}

// GiveBack takes back an event of k that Take has counted.
func (l *Limiter) GiveBack(k Key, now time.Time) {
	b := &l.buckets[uint64(k)&l.mask]
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.find(k, now.UnixNano(), l.tolerance); s != nil {
		s.tat -= l.emission
	}
}

// Wait says what Take would answer, and counts nothing.
func (l *Limiter) Wait(k Key, now time.Time) time.Duration {
	b := &l.buckets[uint64(k)&l.mask]
	b.mu.Lock()
	defer b.mu.Unlock()
	t := now.UnixNano()
	s := b.find(k, t, l.tolerance)
	if s == nil {
		return 0
	}
	return time.Duration(max(max(s.tat, t)+l.emission-t-l.tolerance, 0))
}

// claim frees the slot whose key is nearest to full.
func (b *bucket) claim() *slot {
	least := &b.slots[0]
	for i := range b.slots[1:] {
		if s := &b.slots[i+1]; s.tat < least.tat {
			least = s
		}
	}
	return least
}

// nonzero keeps 0 free to mean an empty slot.
func nonzero(h uint64) Key { return Key(max(h, 1)) }
