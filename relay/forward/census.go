package forward

import (
	"net/netip"
	"sync"
)

// census counts what each client holds at the moment. Safe for concurrent use.
type census struct {
	limit int
	mu    sync.Mutex
	held  map[netip.Addr]int
}

// enter counts one more for a, or refuses. An invalid address is nobody and never refused.
func (c *census) enter(a netip.Addr) bool {
	if !a.IsValid() {
		return true
	}
	a = site(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		c.held = make(map[netip.Addr]int)
	}
	if c.held[a] >= c.limit {
		return false
	}
	c.held[a]++
	return true
}

// leave undoes one enter that was not refused.
func (c *census) leave(a netip.Addr) {
	if !a.IsValid() {
		return
	}
	a = site(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[a]--; c.held[a] <= 0 {
		delete(c.held, a)
	}
}

// site is what counts as one client: an IPv4 address, an IPv6 /64.
func site(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil { // only for an invalid address
		return a
	}
	return p.Addr()
}
