package policy

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/policy/turn"
)

// pool bounds the arithmetic: so many at once, so many waiting, and the rest is
// told to come again. It runs work in its callers and has no goroutines.
//
// Strangers, whose signatures have not held of late, may take half of the places.
// So those whose have find one at once, whatever the others send.
type pool struct {
	places    chan struct{}
	known     lane
	strangers lane
}

// lane is a way into the pool with a queue of its own.
type lane struct {
	pool    *pool
	places  chan struct{} // of this lane
	waiting atomic.Int64
	queue   int64
	// yields: the next gets a place when everybody else who is ready has run. Handed straight on, it would keep its
	// processor from ordinary requests for a slice of the runtime, 10 ms. Strangers do not: a flood of theirs that yields keeps
	// the known waiting.
	yields bool
}

func newPool(verifiers, queue int) *pool {
	strangers := max(1, verifiers/2)
	p := &pool{places: make(chan struct{}, max(verifiers, strangers+1))} // one is always left, also on two processors
	p.known.pool, p.known.queue = p, int64(queue)
	p.known.places, p.known.yields = make(chan struct{}, verifiers), true
	p.strangers.pool, p.strangers.queue = p, int64(queue)
	p.strangers.places = make(chan struct{}, strangers)
	return p
}

// do runs work when there is a place, which is kept if ctx says so (turn.Keeping).
func (l *lane) do(ctx context.Context, work func() error) error {
	if turn.Held(ctx) {
		return work()
	}
	if err := l.enter(ctx, l.places); err != nil {
		return err
	}
	if err := l.enter(ctx, l.pool.places); err != nil {
		<-l.places
		return err
	}
	if turn.Keep(ctx, l.leave) {
		return work()
	}
	defer l.leave()
	err := work()
	if l.yields && l.waiting.Load() > 0 {
		runtime.Gosched()
	}
	return err
}

func (l *lane) enter(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
		return l.wait(ctx, places)
	}
}

func (l *lane) leave() {
	<-l.pool.places
	<-l.places
}

func (l *lane) wait(ctx context.Context, places chan struct{}) error {
	defer l.waiting.Add(-1)
	if l.waiting.Add(1) > l.queue {
		return &LimitError{RetryAfter: time.Second, Reason: ErrBusy}
	}
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &LimitError{RetryAfter: time.Second, Reason: ErrBusy}
	}
}

// maxLookups is how many different keys one client may have us look up at once:
// a quarter of all fetches, so that it takes more than one to hold them all.
const maxLookups = 32

// lookups counts, per client, the keys that are being looked up right now.
// Requests by one key count once: a busy peer sends many.
type lookups struct {
	mu   sync.Mutex
	open map[ratelimit.Key]map[string]int
}

func newLookups() *lookups {
	return &lookups{open: make(map[ratelimit.Key]map[string]int)}
}

// enter notes a look-up until leave is called.
func (l *lookups) enter(client ratelimit.Key, keyID string) (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := l.open[client]
	if mine == nil {
		mine = make(map[string]int, 1)
		l.open[client] = mine
	}
	if mine[keyID] == 0 && len(mine) >= maxLookups {
		return nil, fmt.Errorf("%d keys at once from one client: %w", len(mine), &LimitError{RetryAfter: time.Second, Reason: ErrBusy})
	}
	mine[keyID]++
	return func() { l.leave(client, keyID) }, nil
}

func (l *lookups) leave(client ratelimit.Key, keyID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := l.open[client]
	if mine[keyID]--; mine[keyID] == 0 {
		delete(mine, keyID)
	}
	if len(mine) == 0 {
		delete(l.open, client)
	}
}
