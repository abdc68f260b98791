package forward

import "sync"

// buffers hands out byte slices of one size.
type buffers struct {
	size int
	pool sync.Pool
}

// take returns a slice of length size. Its bytes are leftovers.
func (p *buffers) take() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, p.size)
	return &b
}

// give takes back what take returned; grown slices are dropped.
func (p *buffers) give(b *[]byte) {
	if cap(*b) == p.size {
		*b = (*b)[:p.size]
		p.pool.Put(b)
	}
}
