package actorkey

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// flights joins callers who want the same key, and bounds how many fetches
// there are: all in all and per host, so that one host that never answers
// cannot take the places of the others.
type flights struct {
	base    context.Context //nolint:containedctx // the fetches' own, ended by close
	cancel  context.CancelFunc
	timeout time.Duration
	places  chan struct{}

	mu     sync.Mutex
	open   map[flightID]*flight
	hosts  map[string]*host
	group  sync.WaitGroup
	closed bool
}

type flightID struct{ key, host string }

// A flight is one fetch with everybody who waits for it.
type flight struct {
	done chan struct{}
	key  Key
	err  error
}

// A host is where fetches queue. It lives as long as it has flights.
type host struct {
	places  chan struct{}
	flights int
}

func newFlights(timeout time.Duration) *flights {
	base, cancel := context.WithCancel(context.Background())
	return &flights{
		base: base, cancel: cancel, timeout: timeout,
		places: make(chan struct{}, maxFetches),
		open:   make(map[flightID]*flight), hosts: make(map[string]*host),
	}
}

// wait returns what fl comes back with. The fetch goes on when ctx ends: others
// may have joined, and its answer is remembered.
func (fl *flight) wait(ctx context.Context) (Key, error) {
	select {
	case <-fl.done:
		return fl.key, fl.err
	case <-ctx.Done():
		return Key{}, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
}

// find returns the flight of id that is under way, or nil.
func (f *flights) find(id flightID) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open[id]
}

// join returns the flight of id, starting it when there is none.
func (f *flights) join(id flightID, fetch func(context.Context) (Key, error)) (*flight, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl, ok := f.open[id]; ok {
		return fl, nil
	}
	h := f.hosts[id.host]
	switch {
	case f.closed:
		return nil, fmt.Errorf("%w: shutting down", ErrUnavailable)
	case len(f.open) >= maxFlights, h != nil && h.flights >= maxHostFlights:
		return nil, fmt.Errorf("%w: too many keys are being fetched", ErrUnavailable)
	case h == nil:
		h = &host{places: make(chan struct{}, maxHostFetches)}
		f.hosts[id.host] = h
	}
	h.flights++
	fl := &flight{done: make(chan struct{})}
	f.open[id] = fl
	f.group.Go(func() {
		fl.key, fl.err = f.run(h, fetch)
		f.leave(id, h)
		close(fl.done)
	})
	return fl, nil
}

func (f *flights) leave(id flightID, h *host) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, id)
	if h.flights--; h.flights == 0 {
		delete(f.hosts, id.host)
	}
}

// run waits for a place at the host, then for one at all, each no longer than a
// fetch may take, and fetches.
func (f *flights) run(h *host, fetch func(context.Context) (Key, error)) (Key, error) {
	wait, cancel := context.WithTimeout(f.base, f.timeout)
	defer cancel()
	for _, places := range []chan struct{}{h.places, f.places} {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		case <-wait.Done():
			return Key{}, fmt.Errorf("%w: waited too long for other fetches", ErrUnavailable)
		}
	}
	ctx, cancel := context.WithTimeout(f.base, f.timeout)
	defer cancel()
	return fetch(ctx)
}

func (f *flights) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.group.Wait()
}
