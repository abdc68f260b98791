package count

import (
	"net/netip"
	"sync"
)

// Census counts what each client has under way. An IPv6 client is its /64. The zero value with a Limit is ready for use;
// safe for concurrent use.
type Census struct {
	Limit int // of one client; set before the first Enter

	mu   sync.Mutex
	held map[netip.Addr]int
}

// Enter counts one more for a, or refuses. An invalid address is nobody and never refused.
func (c *Census) Enter(a netip.Addr) bool {
	if !a.IsValid() {
		return true
	}
	a = client(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = make(map[netip.Addr]int)
	}
	if c.held[a] >= c.Limit {
		return false
	}
	c.held[a]++
	return true
}

// Leave undoes one Enter that was not refused.
func (c *Census) Leave(a netip.Addr) {
	if !a.IsValid() {
		return
	}
	a = client(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[a]--; c.held[a] <= 0 {
		delete(c.held, a)
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
