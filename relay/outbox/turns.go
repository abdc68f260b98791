package outbox

import "time"

// How many deliveries are under way at once. A sender gets no more places than are
// left free: half of them alone, a third beside another, and there is always one
// for who comes next.
const (
	maxPosts     = 128
	maxHostPosts = 8 // of these at one host
)

// lane is one group's queue for one host. At most one of its deliveries is under
// way, so they arrive in order.
type lane struct {
	alarm // when it is tried again

	id       Lane
	host     *host
	sender   *sender    // who began it, and whose turns it takes
	behind   uint64     // the Seq that was settled last
	ahead    []Delivery // the next, as far as they were read
	since    time.Time  // when its head was accepted; zero: not looked at yet
	reserved int        // submissions that are being kept
	failures int        // of the delivery at its head
	busy     bool       // in a line, or under way
	more     bool       // something was kept since its turn began
	told     bool       // it is known when to come back
}

// host is one server while something is queued for it.
type host struct {
	alarm // set: its breaker is open, and closes then for one try

	name     string
	lanes    map[*lane]struct{}
	flows    map[*sender]*flow
	waiting  []*flow // for a place at the host, in turn
	listed   int     // flows that have one and wait for their sender's turn
	active   int
	failures int // in a row
}

// sender is a local person while something of theirs is queued.
type sender struct {
	name   string
	lanes  int
	active int
	ready  []*flow // whose hosts have a place, in turn
}

// flow is what one sender has ready for one host: a delivery of each group, in turn.
type flow struct {
	sender *sender
	host   *host
	lanes  []*lane
}

// places is how many more deliveries the host can have: one in all if it fails.
func (h *host) places() int {
	switch {
	case h.isSet():
		return 0
	case h.failures > 0:
		return 1 - h.active - h.listed
	}
	return maxHostPosts - h.active - h.listed
}

// ready puts a lane in line, unless it is there or waits for its time.
func (s *scheduler) ready(l *lane) {
	if l.busy || l.isSet() {
		return
	}
	l.busy = true
	h := l.host
	f, ok := h.flows[l.sender]
	if !ok {
		f = &flow{sender: l.sender, host: h}
		h.flows[l.sender] = f
		h.waiting = append(h.waiting, f)
	}
	f.lanes = append(f.lanes, l)
	s.admit(h)
}

// admit gives the host's free places to the senders who wait for one.
func (s *scheduler) admit(h *host) {
	for len(h.waiting) > 0 && h.places() > 0 {
		f := h.waiting[0]
		h.waiting = h.waiting[1:]
		h.listed++
		if len(f.sender.ready) == 0 {
			s.turn = append(s.turn, f.sender)
		}
		f.sender.ready = append(f.sender.ready, f)
	}
}

// pick takes the next lane to serve: senders in turn, then their hosts, then the
// groups. nil: nobody has anything ready, or there is no place.
func (s *scheduler) pick() *lane {
	passed := 0 // in a row, because they have their share
	for passed < len(s.turn) && s.active < maxPosts {
		who := s.turn[0]
		s.turn = s.turn[1:]
		if who.active >= maxPosts-s.active {
			s.turn = append(s.turn, who)
			passed++
			continue
		}
		f := who.ready[0]
		who.ready = who.ready[1:]
		if len(who.ready) > 0 {
			s.turn = append(s.turn, who)
		}
		if l := s.start(f); l != nil {
			return l
		}
		passed = 0
	}
	return nil
}

// start takes a flow's next lane, or nil when its host has failed meanwhile.
func (s *scheduler) start(f *flow) *lane {
	h := f.host
	h.listed--
	if h.places() <= 0 {
		h.waiting = append(h.waiting, f)
		return nil
	}
	l := f.lanes[0]
	f.lanes = f.lanes[1:]
	if len(f.lanes) == 0 {
		delete(h.flows, f.sender)
	} else {
		h.waiting = append(h.waiting, f)
	}
	l.more = false
	s.active, h.active, l.sender.active = s.active+1, h.active+1, l.sender.active+1
	s.admit(h)
	return l
}

// stop ends what start began.
func (s *scheduler) stop(l *lane) {
	l.busy = false
	s.active, l.host.active, l.sender.active = s.active-1, l.host.active-1, l.sender.active-1
}

// lane finds or makes the lane at a place.
func (s *scheduler) lane(at laneHost) *lane {
	l, ok := s.lanes[at.lane]
	if ok {
		return l
	}
	h, ok := s.hosts[at.host]
	if !ok {
		h = &host{name: at.host, lanes: map[*lane]struct{}{}, flows: map[*sender]*flow{}}
		h.ring = func() { s.admit(h) }
		s.hosts[at.host] = h
	}
	who, ok := s.senders[at.sender]
	if !ok {
		who = &sender{name: at.sender}
		s.senders[at.sender] = who
	}
	l = &lane{id: at.lane, host: h, sender: who}
	l.ring = func() { s.ready(l) }
	s.lanes[at.lane] = l
	h.lanes[l] = struct{}{}
	who.lanes++
	return l
}

// forget drops a lane in which nothing is queued.
func (s *scheduler) forget(l *lane) {
	delete(s.lanes, l.id)
	delete(l.host.lanes, l)
	if len(l.host.lanes) == 0 {
		s.alarms.unset(&l.host.alarm)
		delete(s.hosts, l.host.name)
	}
	if l.sender.lanes--; l.sender.lanes == 0 {
		delete(s.senders, l.sender.name)
	}
}
