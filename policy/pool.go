package policy

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sealgate/sealgate/policy/ratelimit"
)

// pool bounds the arithmetic: so many at once, so many waiting, and the rest is
// told to come again. It runs work in its callers and has no goroutines.
type pool struct {
	places  chan struct{}
	waiting atomic.Int64
	queue   int64
}

func newPool(verifiers, queue int) *pool {
	if verifiers < 1 {
		verifiers = runtime.GOMAXPROCS(0)
	}
	if queue < 1 {
		queue = 1024
	}
	return &pool{places: make(chan struct{}, verifiers), queue: int64(queue)}
}

// do runs work when there is a place.
func (p *pool) do(ctx context.Context, work func() error) error {
	select {
	case p.places <- struct{}{}:
	default:
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
	defer func() { <-p.places }()
	return work()
}

func (p *pool) wait(ctx context.Context) error {
	defer p.waiting.Add(-1)
	if p.waiting.Add(1) > p.queue {
		return &LimitError{RetryAfter: time.Second, Reason: ErrBusy}
	}
	select {
	case p.places <- struct{}{}:
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
