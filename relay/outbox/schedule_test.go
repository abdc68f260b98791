package outbox

import (
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

// TestEverythingIsServed: whatever fails and comes back, nothing is forgotten, no
// bound is passed and nothing is left over in memory.
func TestEverythingIsServed(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 0))
		now := time.Unix(0, 0)
		s := newScheduler(func() time.Time { return now }, spreadRandomly)
		s.complete()
		left := map[*lane]int{}
		for range 400 {
			who, where := fmt.Sprint("sender", r.IntN(5)), fmt.Sprint("host", r.IntN(40))
			at := laneHost{laneOf(fmt.Sprint(r.IntN(30)), where), where, who}
			s.reserve([]laneHost{at})
			s.release([]laneHost{at}, uint64(len(left)+1), nil)
			left[s.lanes[at.lane]]++
		}
		var under []*lane
		for steps := 0; len(s.lanes) > 0; steps++ {
			l, again := s.next()
			switch {
			case l != nil:
				under = append(under, l)
				if l.host.active > maxHostPosts || s.active > maxPosts || l.sender.active > maxPosts/2 {
					t.Fatalf("seed %d: %d at the host, %d of the sender, %d", seed, l.host.active, l.sender.active, s.active)
				}
			case len(under) > 0:
				i := r.IntN(len(under))
				s.done(under[i], random(r, left, under[i], now))
				under = append(under[:i], under[i+1:]...)
			case again.IsZero() || steps > 100000:
				t.Fatalf("seed %d: %d lanes are forgotten after %d steps", seed, len(s.lanes), steps)
			default:
				now = again
			}
		}
		if len(s.hosts)+len(s.senders)+len(s.alarms)+len(s.turn)+s.active+s.queued > 0 {
			t.Fatalf("seed %d: left over: %+v", seed, s)
		}
	}
}

// random is what may become of a lane's head.
func random(r *rand.Rand, left map[*lane]int, l *lane, now time.Time) outcome {
	switch n := r.IntN(10); {
	case left[l] == 0:
		return outcome{empty: true}
	case n < 3:
		return outcome{fault: true, since: now}
	case n < 4:
		return outcome{retry: time.Minute}
	}
	left[l]--
	return outcome{settled: 1, heard: r.IntN(4) > 0}
}
