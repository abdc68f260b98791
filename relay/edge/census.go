package edge

import (
	"net/netip"
	"sync"
)

// census counts what each client has under way. Safe for concurrent use.
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
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[a] >= c.limit {
		return false
	}
	if c.held == nil {
		c.held = make(map[netip.Addr]int)
	}
	c.held[a]++
	return true
}

// leave undoes one enter that was not refused.
func (c *census) leave(a netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[a]--; c.held[a] <= 0 {
		delete(c.held, a)
	}
}
