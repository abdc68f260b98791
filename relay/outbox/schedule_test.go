package outbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// queueUp enters a delivery of each of so many groups of a sender for a host.
func queueUp(s *scheduler, sender, host string, groups int) {
	for n := range groups {
		at := laneHost{laneOf(fmt.Sprint(sender, n), host), host, sender}
		s.reserve([]laneHost{at})
		s.release([]laneHost{at}, uint64(n+1), nil)
	}
}

// startAll serves all that may be under way at once.
func startAll(s *scheduler) (started []*lane) {
	for {
		l, _ := s.next()
		if l == nil {
			return started
		}
		started = append(started, l)
	}
}

// settleFirst ends the oldest of those under way and starts what then may.
func settleFirst(s *scheduler, under []*lane) []*lane {
	s.done(under[0], outcome{settled: 1})
	return append(under[1:], startAll(s)...)
}

func count(lanes []*lane, sender string) (n int) {
	for _, l := range lanes {
		if l.sender.name == sender {
			n++
		}
	}
	return n
}

// TestSendersShare: who floods takes half of the places, who comes next finds one at
// once, and from then on they share what gets free.
func TestSendersShare(t *testing.T) {
	s := newScheduler(time.Now, spreadRandomly)
	for n := range 400 {
		queueUp(s, "mallory", fmt.Sprint("host", n), 3)
	}
	under := startAll(s)
	if len(under) != maxPosts/2 {
		t.Errorf("one sender has %d of %d places", len(under), maxPosts)
	}
	for n := range 200 {
		queueUp(s, "alice", fmt.Sprint("other", n), 1)
	}
	next := startAll(s)
	if count(next, "alice") != maxPosts/4 {
		t.Errorf("alice finds %d places at once", len(next))
	}
	under = append(under, next...)
	for range 1000 {
		under = settleFirst(s, under)
	}
	if a, m := count(under, "alice"), count(under, "mallory"); a < maxPosts/3 || m < maxPosts/3 || a+m >= maxPosts {
		t.Errorf("alice has %d, mallory %d", a, m)
	}
}

// TestSendersTakeTurns: at one host a sender with a hundred groups gets no more turns
// than one with a few.
func TestSendersTakeTurns(t *testing.T) {
	s := newScheduler(time.Now, spreadRandomly)
	queueUp(s, "mallory", "host", 100)
	under := startAll(s)
	if len(under) != maxHostPosts {
		t.Errorf("%d under way at one host", len(under))
	}
	queueUp(s, "alice", "host", 8)
	for range 2 * maxHostPosts {
		under = settleFirst(s, under)
	}
	if n := count(under, "alice"); n != maxHostPosts/2 {
		t.Errorf("alice has %d of %d places at the host", n, maxHostPosts)
	}
}

// TestHostAnswersAgain: what failed at a host that answers again is tried at once, but for what is known to be too early.
func TestHostAnswersAgain(t *testing.T) {
	s := newScheduler(time.Now, spreadRandomly)
	queueUp(s, "alice", "host", 3)
	under := startAll(s)
	s.done(under[0], outcome{fault: true})
	s.done(under[1], outcome{fault: true, retry: time.Hour})
	if got := startAll(s); got != nil {
		t.Errorf("%d are tried at once", len(got))
	}
	s.done(under[2], outcome{settled: 1, heard: true})
	if got := startAll(s); len(got) != 2 || got[0] == under[1] || got[1] == under[1] {
		t.Errorf("%d are tried again", len(got))
	}
}

// TestBreaker: a host that fails is tried one by one, and after ten times in a row once in a while.
func TestBreaker(t *testing.T) {
	now := time.Unix(0, 0)
	s := newScheduler(func() time.Time { return now }, func(string, int) float64 { return 0.5 })
	queueUp(s, "alice", "host", 20)
	under := startAll(s)
	if len(under) != maxHostPosts {
		t.Errorf("%d under way at first", len(under))
	}
	for failures := 1; failures < breakAfter; failures++ {
		if s.done(under[0], outcome{fault: true}); len(under) == 1 {
			under = append(under, startAll(s)...)
		}
		if under = under[1:]; failures >= maxHostPosts && len(under) != 1 {
			t.Errorf("after %d failures: %d under way", failures, len(under))
		}
	}
	s.done(under[0], outcome{fault: true})
	now = now.Add(512*time.Second - 1)
	if got := startAll(s); got != nil {
		t.Errorf("%d are tried although the breaker is open", len(got))
	}
	now = now.Add(1)
	if under = startAll(s); len(under) != 1 {
		t.Fatalf("%d are tried as it closes", len(under))
	}
	s.done(under[0], outcome{settled: 1, heard: true})
	if got := startAll(s); len(got) != maxHostPosts {
		t.Errorf("%d under way when it answers", len(got))
	}
}

// TestEverythingIsServed: whatever fails, waits and comes back, and whatever is kept meanwhile, each lane is served whole
// and in order, no bound is passed and nothing is left over in memory.
func TestEverythingIsServed(t *testing.T) {
	for seed := range uint64(100) {
		m := &model{r: rand.New(rand.NewPCG(seed, 0)), now: time.Unix(0, 0), queue: map[Lane][]uint64{}, left: 300}
		m.scheduler = newScheduler(func() time.Time { return m.now }, spreadRandomly)
		m.complete()
		for steps := 0; m.left > 0 || len(m.lanes) > 0; steps++ {
			if err := m.step(); err != nil || steps > 100000 {
				t.Fatalf("seed %d: after %d steps %d lanes are left, %v", seed, steps, len(m.lanes), err)
			}
		}
		for _, missed := range m.queue {
			if len(missed) > 0 {
				t.Fatalf("seed %d: %v are not served", seed, missed)
			}
		}
		if len(m.hosts)+len(m.senders)+len(m.alarms)+len(m.turn)+m.active+m.queued > 0 {
			t.Fatalf("seed %d: left over: %+v", seed, m.scheduler)
		}
	}
}

// model is a scheduler with a store of numbers, between people who post and hosts that answer.
type model struct {
	*scheduler

	r     *rand.Rand
	now   time.Time
	queue map[Lane][]uint64
	last  uint64
	left  int      // submissions that have not begun
	posts []posted // those that have not ended
	under []turn
}

// posted is a submission; first is 0 until it is kept.
type posted struct {
	places []laneHost
	first  uint64
}

// turn is a lane's, and the head that it found, 0 for none.
type turn struct {
	lane *lane
	head uint64
}

// step does one thing that may happen now.
func (m *model) step() error {
	if m.r.IntN(3) == 0 && m.post() {
		return nil
	}
	l, again := m.next()
	switch {
	case l != nil:
		return m.begin(l)
	case len(m.under) > 0:
		i := m.r.IntN(len(m.under))
		m.done(m.under[i].lane, m.answer(m.under[i]))
		m.under = append(m.under[:i], m.under[i+1:]...)
	case !again.IsZero():
		m.now = again
	case !m.post():
		return errors.New("nothing happens any more")
	}
	return nil
}

// post takes a submission one step on: its places are reserved, it is kept, its places are released.
func (m *model) post() bool {
	if n := len(m.posts); m.left > 0 && m.r.IntN(n+1) == 0 {
		m.left--
		var p posted
		for range 1 + m.r.IntN(3) {
			where := fmt.Sprint("host", m.r.IntN(20))
			p.places = append(p.places, laneHost{laneOf(fmt.Sprint(m.r.IntN(10)), where), where, fmt.Sprint("sender", m.r.IntN(5))})
		}
		m.reserve(p.places)
		m.posts = append(m.posts, p)
		return true
	}
	if len(m.posts) == 0 {
		return false
	}
	i := m.r.IntN(len(m.posts))
	p := &m.posts[i]
	if p.first > 0 {
		m.release(p.places, p.first, nil)
		m.posts = append(m.posts[:i], m.posts[i+1:]...)
		return true
	}
	p.first = m.last + 1
	for _, at := range p.places {
		m.last++
		m.queue[at.lane] = append(m.queue[at.lane], m.last)
	}
	return true
}

// begin looks for a lane's head as a turn begins.
func (m *model) begin(l *lane) error {
	if l.host.active > maxHostPosts || m.active > maxPosts || l.sender.active > maxPosts/2 {
		return fmt.Errorf("%d at the host, %d of the sender, %d", l.host.active, l.sender.active, m.active)
	}
	head := uint64(0)
	if list := m.queue[l.id]; len(list) > 0 {
		if head = list[0]; head <= l.behind {
			return fmt.Errorf("%d is passed over: the lane is behind %d", head, l.behind)
		}
	}
	m.under = append(m.under, turn{l, head})
	return nil
}

// answer is what may become of a turn.
func (m *model) answer(at turn) outcome {
	switch n := m.r.IntN(10); {
	case at.head == 0:
		return outcome{empty: true}
	case n < 2, n < 8 && at.lane.host.name == "host0":
		return outcome{fault: true, since: m.now}
	case n < 3:
		return outcome{retry: time.Minute}
	case n < 5:
		return outcome{wait: time.Minute}
	}
	m.queue[at.lane.id] = m.queue[at.lane.id][1:]
	return outcome{settled: at.head, heard: m.r.IntN(4) > 0}
}
