package outbox

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// How deliveries are spread and repeated (contract.md).
const (
	maxPosts     = 64 // under way at once
	maxHostPosts = 8  // of these at one host
	firstRetry   = time.Second
	longestRetry = time.Hour
	giveUpAfter  = 7 * 24 * time.Hour
	warnAfter    = time.Hour
	deniedAfter  = time.Hour // of 401; what then lasts is no fault that goes away
	breakAfter   = 10        // failures in a row at one host
)

// backoff is how long to wait after so many failures: a second, doubling to an
// hour, ± 50 %.
func backoff(failures int) time.Duration {
	wait := longestRetry
	if failures < 13 {
		wait = min(longestRetry, firstRetry<<(failures-1))
	}
	return wait/2 + rand.N(wait)
}

// lane is one group's queue for one host. At most one of its deliveries is under
// way, so they arrive in order.
type lane struct {
	id       Lane
	host     *host
	behind   uint64    // the Seq that was settled last
	reserved int       // submissions that are being kept
	busy     bool      // waiting to be sent, or under way
	more     bool      // something was kept since its turn began
	failures int       // of the delivery at its head
	since    time.Time // when it was accepted; zero: not looked at yet
	due      time.Time
	told     bool // the host said when to come back
	slot     int  // in the heap of those who wait; -1: not there
}

// host is one server while something is queued for it.
type host struct {
	name     string
	lanes    map[*lane]struct{}
	ready    []*lane // in turn: every group gets one delivery, then goes to the end
	active   int
	failures int       // in a row
	shut     time.Time // nothing goes before; one after it, until it succeeds
	listed   bool      // in scheduler.turn
}

// limit is how many deliveries may be under way: one to a host that fails.
func (h *host) limit() int {
	if h.failures > 0 {
		return 1
	}
	return maxHostPosts
}

type laneHost struct {
	lane Lane
	host string
}

// scheduler knows what is queued, but not its content: a lane takes a few hundred
// bytes however much waits in it.
type scheduler struct {
	clock func() time.Time
	wake  chan struct{}

	mu      sync.Mutex
	lanes   map[Lane]*lane
	hosts   map[string]*host
	turn    []*host // hosts with something ready
	waiting laneHeap
	active  int
	queued  int
	loaded  bool   // all that was queued before the start is known
	own     uint64 // the first Seq that was kept since
}

func newScheduler(clock func() time.Time) *scheduler {
	return &scheduler{clock: clock, wake: make(chan struct{}, 1), lanes: map[Lane]*lane{}, hosts: map[string]*host{}}
}

func (s *scheduler) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// reserve keeps the lanes of a submission from being forgotten while it is kept.
func (s *scheduler) reserve(list []laneHost) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range list {
		s.lane(one).reserved++
	}
}

// release ends a reservation. first is the submission's first Seq: what a new lane
// begins with. After an error nobody knows what was kept, so the lanes look.
func (s *scheduler) release(list []laneHost, first uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range list {
		l := s.lane(one)
		l.reserved--
		l.more = true
		if err == nil {
			s.queued++
			if s.loaded && l.behind == 0 && !l.busy && l.reserved == 0 && l.failures == 0 {
				l.behind = first - 1 // nothing older: no need to look for it
			}
		}
		s.ready(l)
	}
	if err == nil && s.own == 0 {
		s.own = first
	}
	s.nudge()
}

// found enters a delivery that was queued before the start.
func (s *scheduler) found(d Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.own == 0 || d.Seq < s.own {
		s.queued++ // release counts the others
	}
	s.ready(s.lane(laneHost{d.Lane, d.Host}))
	s.nudge()
}

// complete says that everything was found.
func (s *scheduler) complete() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = true
}

func (s *scheduler) lane(at laneHost) *lane {
	l, ok := s.lanes[at.lane]
	if ok {
		return l
	}
	h, ok := s.hosts[at.host]
	if !ok {
		h = &host{name: at.host, lanes: map[*lane]struct{}{}}
		s.hosts[at.host] = h
	}
	l = &lane{id: at.lane, host: h, slot: -1}
	s.lanes[at.lane] = l
	h.lanes[l] = struct{}{}
	return l
}

// ready puts a lane in its host's line, unless it is there or waits for its time.
func (s *scheduler) ready(l *lane) {
	if l.busy || l.slot >= 0 {
		return
	}
	l.busy = true
	l.host.ready = append(l.host.ready, l)
	s.list(l.host)
}

func (s *scheduler) list(h *host) {
	if !h.listed && len(h.ready) > 0 {
		h.listed = true
		s.turn = append(s.turn, h)
	}
}

// next takes the next lane to serve, hosts in turn. Without one it says when to
// look again; zero: when nudged.
func (s *scheduler) next() (*lane, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	for len(s.waiting) > 0 && !s.waiting[0].due.After(now) {
		l, _ := heap.Pop(&s.waiting).(*lane)
		s.ready(l)
	}
	var again time.Time
	if len(s.waiting) > 0 {
		again = s.waiting[0].due
	}
	for range len(s.turn) {
		if s.active >= maxPosts {
			return nil, again
		}
		h := s.turn[0]
		s.turn = s.turn[1:]
		if h.shut.After(now) || h.active >= h.limit() {
			s.turn = append(s.turn, h)
			if h.shut.After(now) && (again.IsZero() || h.shut.Before(again)) {
				again = h.shut
			}
			continue
		}
		l := h.ready[0]
		l.more = false
		h.ready = h.ready[1:]
		h.listed = false
		s.list(h)
		h.active++
		s.active++
		return l, time.Time{}
	}
	return nil, again
}

// outcome is what became of the head of a lane.
type outcome struct {
	settled uint64        // its Seq, when it is out of the queue
	retry   time.Duration // when it is not: at least so long until the next try
	empty   bool          // there was none
	fault   bool          // the host did not do its part
	since   time.Time     // when it was accepted
}

// done ends a lane's turn.
func (s *scheduler) done(l *lane, out outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.nudge()
	h := l.host
	h.active--
	s.active--
	l.busy = false
	s.judge(h, out)
	switch {
	case out.empty && l.more:
		s.ready(l) // it was kept after the look
	case out.empty:
		if l.reserved == 0 {
			s.forget(l)
		}
	case out.settled > 0:
		s.queued--
		l.behind, l.failures, l.since = out.settled, 0, time.Time{}
		s.ready(l)
	default:
		l.failures++
		l.since = out.since
		l.told = out.retry > time.Second
		l.due = s.clock().Add(max(out.retry, backoff(l.failures)))
		heap.Push(&s.waiting, l)
	}
}

// judge opens and closes the host's breaker. A host that answers again is asked
// at once for all that waited for it.
func (s *scheduler) judge(h *host, out outcome) {
	switch {
	case out.fault:
		h.failures++
		if h.failures >= breakAfter {
			h.shut = s.clock().Add(backoff(h.failures))
		}
	case !out.empty && out.retry == 0 && h.failures > 0:
		h.failures, h.shut = 0, time.Time{}
		for l := range h.lanes {
			if l.slot >= 0 && !l.told {
				heap.Remove(&s.waiting, l.slot)
				s.ready(l)
			}
		}
	}
}

func (s *scheduler) forget(l *lane) {
	delete(s.lanes, l.id)
	delete(l.host.lanes, l)
	if len(l.host.lanes) == 0 {
		delete(s.hosts, l.host.name)
	}
}

// wait returns when there may be something to do.
func (s *scheduler) wait(ctx context.Context, until time.Time) error {
	var timer <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(max(until.Sub(s.clock()), time.Millisecond))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-s.wake:
		return nil
	case <-timer:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *scheduler) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queued
}

// oldest is the age in seconds of the oldest delivery that failed and waits.
func (s *scheduler) oldest() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var age time.Duration
	for _, l := range s.waiting {
		if !l.since.IsZero() {
			age = max(age, s.clock().Sub(l.since))
		}
	}
	return age.Seconds()
}

// laneHeap orders lanes by when they are due.
type laneHeap []*lane

func (h laneHeap) Len() int           { return len(h) }
func (h laneHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].slot, h[j].slot = i, j
}

func (h *laneHeap) Push(x any) {
	l, _ := x.(*lane)
	l.slot = len(*h)
	*h = append(*h, l)
}

func (h *laneHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	l.slot = -1
	return l
}
