package forward

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// watch ends reads and writes that take too long. One goroutine looks at all connections every tick, so
// that arming a limit is one atomic store instead of a system timer; a limit fires up to two ticks late.
type watch struct {
	tick  time.Duration
	start time.Time
	now   atomic.Int64 // nanoseconds since start, as of the last tick

	mu    sync.Mutex
	seen  []*guard
	once  sync.Once
	stop  chan struct{}
	ended chan struct{}
}

// leftEvery is how often to look whether a client to which nothing is said is still there.
const leftEvery = 2 * time.Second

// guard is one connection's limits. Zero means unlimited.
type guard struct {
	conn     net.Conn
	w        *watch
	index    int // in w.seen
	readBy   atomic.Int64
	writeBy  atomic.Int64
	readOut  atomic.Bool // the read limit fired
	writeOut atomic.Bool

	lookBy atomic.Int64 // when to look whether the other side has left; raw and cut are set
	left   atomic.Bool  // it has
	raw    syscall.RawConn
	cut    func() // ends what is done for it
}

// tickFor returns how often to look so that limits of d are kept well.
func tickFor(d time.Duration) time.Duration {
	return max(5*time.Millisecond, min(d/8, 250*time.Millisecond))
}

// newWatch starts looking; close ends it.
func newWatch(tick time.Duration) *watch {
	w := &watch{tick: tick, start: time.Now(), stop: make(chan struct{}), ended: make(chan struct{})}
	w.now.Store(1)
	go w.run()
	return w
}

func (w *watch) run() {
	defer close(w.ended)
	t := time.NewTicker(w.tick)
	defer t.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-t.C:
			w.look()
		}
	}
}

// close stops looking; limits no longer fire. It may be called again.
func (w *watch) close() {
	w.once.Do(func() { close(w.stop) })
	<-w.ended
}

func (w *watch) look() {
	now := time.Since(w.start).Nanoseconds()
	w.now.Store(now)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.seen {
		g.look(now)
	}
}

func (w *watch) add(g *guard) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g.w, g.index = w, len(w.seen)
	w.seen = append(w.seen, g)
}

func (w *watch) remove(g *guard) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.seen) - 1
	w.seen[g.index] = w.seen[last]
	w.seen[g.index].index = g.index
	w.seen[last] = nil
	w.seen = w.seen[:last]
}

func (g *guard) look(now int64) {
	past := g.w.start // any moment that is over
	if by := g.readBy.Load(); by != 0 && now > by && g.readBy.CompareAndSwap(by, 0) {
		g.readOut.Store(true)
		_ = g.conn.SetReadDeadline(past) // it fails only on a closed connection
	}
	if by := g.writeBy.Load(); by != 0 && now > by && g.writeBy.CompareAndSwap(by, 0) {
		g.writeOut.Store(true)
		_ = g.conn.SetWriteDeadline(past)
	}
	if by := g.lookBy.Load(); by != 0 && now > by && g.lookBy.CompareAndSwap(by, g.by(leftEvery)) && hungUp(g.raw) {
		g.lookBy.Store(0)
		g.left.Store(true)
		go g.cut() // with TLS it says goodbye, which may wait
	}
}

// listen has cut called when the other side has left, until stop.
func (g *guard) listen(cut func()) (stop func()) {
	if g.raw = rawOf(g.conn); g.raw == nil {
		return func() {}
	}
	g.cut = cut
	g.lookBy.Store(g.by(leftEvery))
	return func() { g.lookBy.Store(0) }
}

// read limits reads from now on; zero lifts the limit.
func (g *guard) read(d time.Duration) { g.readBy.Store(g.by(d)) }

// pause stops the clock of the limit on reads and returns what is left of it, for resume; zero: there is none.
func (g *guard) pause() int64 {
	by := g.readBy.Swap(0)
	if by == 0 {
		return 0
	}
	return max(1, by-g.w.now.Load())
}

// resume lets the limit on reads run on, with what pause returned.
func (g *guard) resume(left int64) { g.readBy.Store(g.w.now.Load() + left) }

// write limits writes from now on; zero lifts the limit.
func (g *guard) write(d time.Duration) { g.writeBy.Store(g.by(d)) }

func (g *guard) by(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return g.w.now.Load() + int64(d+g.w.tick)
}
