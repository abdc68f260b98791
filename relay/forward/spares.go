package forward

import (
	"bufio"
	"sync"
)

// spares hands out things of one kind, to be used again. Each loop keeps its own, which the collector leaves alone: what a sync.Pool
// loses must be allocated again, and who allocates can be made to wait until a cycle of the collector has ended, with all clients of
// the loop. Safe for concurrent use.
type spares[T any] struct {
	fresh func() *T
	own   func(*stock) *[]*T // a loop's
	pool  sync.Pool          // for who is on no loop
}

// stock is what a loop has to spare.
type stock struct {
	heads, replies []*[]byte
	works          []*work
	parsers        []*bufio.Reader
	hops           []*hop
}

// keptByAll is how many of each kind all loops of a server keep together.
const keptByAll = 1024

// take returns one for t, as it was given back. t is nil for who has no task.
func (s *spares[T]) take(t *task) *T {
	if l := t.at(); l != nil {
		if own := s.own(&l.stock); len(*own) > 0 {
			last := len(*own) - 1
			x := (*own)[last]
			(*own)[last], *own = nil, (*own)[:last] // whoever does not give it back is not kept by us
			return x
		}
	}
	if x, ok := s.pool.Get().(*T); ok {
		return x
	}
	return s.fresh()
}

// give takes x back.
func (s *spares[T]) give(t *task, x *T) {
	if l := t.at(); l != nil {
		if own := s.own(&l.stock); len(*own) < l.keeps {
			*own = append(*own, x)
			return
		}
	}
	s.pool.Put(x)
}

// buffers hands out byte slices of one size, whose bytes are leftovers.
type buffers struct {
	size int
	spares[[]byte]
}

func newBuffers(size int, own func(*stock) *[]*[]byte) buffers {
	return buffers{size, spares[[]byte]{own: own, fresh: func() *[]byte {
		b := make([]byte, size)
		return &b
	}}}
}

// give takes back what take returned; grown slices are dropped.
func (p *buffers) give(t *task, b *[]byte) {
	if cap(*b) == p.size {
		*b = (*b)[:p.size]
		p.spares.give(t, b)
	}
}
