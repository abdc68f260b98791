package outbox

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// How deliveries are repeated (contract.md).
const (
	firstRetry    = time.Second
	longestRetry  = time.Hour
	longestWait   = 24 * time.Hour // that a Retry-After may ask for
	giveUpAfter   = 7 * 24 * time.Hour
	turnBackAfter = 24 * time.Hour // from where the client does not go
	warnAfter     = time.Hour
	breakAfter    = 10 // failures in a row at one host
)

// Spread is where within its ± 50 % a retry falls, in [0, 1): random, or in a
// simulation a function of what is retried and how often it failed.
type Spread func(what string, failures int) float64

func spreadRandomly(string, int) float64 { return rand.Float64() }

// backoff is how long to wait after so many failures: a second, doubling to an
// hour, ± 50 %.
func (f Spread) backoff(what string, failures int) time.Duration {
	wait := longestRetry
	if failures < 13 {
		wait = min(longestRetry, firstRetry<<(failures-1))
	}
	return wait/2 + time.Duration(f(what, failures)*float64(wait))
}

// laneHost is a lane with what it belongs to.
type laneHost struct {
	lane         Lane
	host, sender string
}

// scheduler knows what is queued, but not its content: a lane takes a few hundred
// bytes however much waits in it.
type scheduler struct {
	clock  func() time.Time
	spread Spread
	wake   chan struct{}

	mu      sync.Mutex
	lanes   map[Lane]*lane
	hosts   map[string]*host
	senders map[string]*sender
	turn    []*sender // those with something ready
	alarms  alarms
	active  int
	queued  int
	loaded  bool   // all that was queued before the start is known
	own     uint64 // the first Seq that was kept since
}

func newScheduler(clock func() time.Time, spread Spread) *scheduler {
	return &scheduler{
		clock: clock, spread: spread, wake: make(chan struct{}, 1),
		lanes: map[Lane]*lane{}, hosts: map[string]*host{}, senders: map[string]*sender{},
	}
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
			if s.loaded && l.behind == 0 && !l.busy && !l.isSet() && l.reserved == 0 {
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
	s.ready(s.lane(laneHost{d.Lane, d.Host, d.Sender.Account}))
	s.nudge()
}

// complete says that everything was found.
func (s *scheduler) complete() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = true
}

// next takes the next lane to serve. Without one it says when to look again; zero:
// when nudged.
func (s *scheduler) next() (*lane, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	again := s.alarms.ring(s.clock())
	return s.pick(), again
}

// outcome is what became of the head of a lane.
type outcome struct {
	settled uint64        // its Seq, when it is out of the queue
	retry   time.Duration // when it is not: at least so long until the next try
	wait    time.Duration // when it was not tried: how long it shall wait
	empty   bool          // there was none
	fault   bool          // the host did not do its part
	heard   bool          // it was settled by the host's answer
	since   time.Time     // when it was accepted
}

// done ends a lane's turn.
func (s *scheduler) done(l *lane, out outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.nudge()
	s.stop(l)
	s.judge(l.host, out)
	switch {
	case out.empty && l.more:
		s.ready(l) // it was kept after the look
	case out.empty:
		if l.reserved == 0 {
			s.forget(l)
		}
	case out.settled > 0:
		s.queued--
		l.behind, l.failures, l.since = max(l.behind, out.settled), 0, time.Time{}
		s.ready(l)
	case out.wait > 0:
		l.told = true
		s.alarms.set(&l.alarm, s.clock().Add(out.wait))
	default:
		l.failures++
		l.since = out.since
		l.told = out.retry > time.Second
		s.alarms.set(&l.alarm, s.clock().Add(max(out.retry, s.spread.backoff(string(l.id[:]), l.failures))))
	}
	s.admit(l.host)
}

// judge opens and closes the host's breaker. A host that answers again is asked
// at once for all that waited for it.
func (s *scheduler) judge(h *host, out outcome) {
	switch {
	case out.fault:
		h.failures++
		if h.failures >= breakAfter {
			s.alarms.set(&h.alarm, s.clock().Add(s.spread.backoff(h.name, h.failures)))
		}
	case out.heard && h.failures > 0:
		h.failures = 0
		s.alarms.unset(&h.alarm)
		for l := range h.lanes {
			if l.isSet() && !l.told {
				s.alarms.unset(&l.alarm)
				s.ready(l)
			}
		}
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

// underWay counts the turns that were taken and have not ended.
func (s *scheduler) underWay() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active
}

// oldest is the age in seconds of the oldest delivery that failed and waits.
func (s *scheduler) oldest() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var age time.Duration
	for _, l := range s.lanes {
		if l.isSet() && !l.since.IsZero() {
			age = max(age, s.clock().Sub(l.since))
		}
	}
	return age.Seconds()
}
