package count

import (
	"hash/maphash"
	"net/netip"
	"sync"
)

// Census counts what each client has under way. An IPv6 client is its /64. The zero value with a Limit is ready for use;
// safe for concurrent use.
type Census struct {
	Limit int // of one client; set before the first Enter

	once  sync.Once
	seed  maphash.Seed
	wards [64]ward
}

// ward counts some of the clients, so that nobody waits for those of other wards.
type ward struct {
	mu   sync.Mutex
	held map[netip.Addr]int
}

func (c *Census) ward(a netip.Addr) *ward {
	c.once.Do(func() { c.seed = maphash.MakeSeed() })
	return &c.wards[maphash.Comparable(c.seed, a)%uint64(len(c.wards))]
}

// Enter counts one more for a, or refuses. An invalid address is nobody and never refused.
func (c *Census) Enter(a netip.Addr) bool {
	if !a.IsValid() {
		return true
	}
	a = client(a)
	w := c.ward(a)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == nil {
		w.held = make(map[netip.Addr]int)
	}
	if w.held[a] >= c.Limit {
		return false
	}
	w.held[a]++
	return true
}

// Leave undoes one Enter that was not refused.
func (c *Census) Leave(a netip.Addr) {
	if !a.IsValid() {
		return
	}
	a = client(a)
	w := c.ward(a)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held[a]--; w.held[a] <= 0 {
		delete(w.held, a)
	}
}

// client is what counts as one: an IPv4 address, an IPv6 /64.
func client(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is4() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil { // only for an invalid address
		return a
	}
	return p.Addr()
}
