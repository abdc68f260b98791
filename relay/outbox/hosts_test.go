package outbox_test

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

// TestDeadHosts: servers that hang or refuse cost those that work nothing.
func TestDeadHosts(t *testing.T) {
	w := newWorld(t, settings{})
	good := newPeer(t, nil)
	alone := latencies(t, w, good, 0)
	release := make(chan struct{})
	hanging := newPeer(t, func(r *http.Request, _ arrived) int {
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return http.StatusServiceUnavailable
	})
	defer close(release)
	refusing := newPeer(t, nil)
	dead := refusing.actor("yan")
	for n := range uint64(300) {
		w.post(t, message("dead"+string(rune('a'+n%20)), n+1, "", hanging.actor("zoe"), dead))
		if n == 0 {
			refusing.Close() // its actors are known by now
		}
	}
	among := latencies(t, w, good, 1000)
	t.Logf("median %s alone, %s beside 600 deliveries for dead hosts; worst %s and %s",
		median(alone), median(among), slices.Max(alone), slices.Max(among))
	if median(among) > 20*time.Millisecond+3*median(alone) {
		t.Errorf("median %s beside dead hosts, %s without", median(among), median(alone))
	}
}

// latencies are how long messages took from Submit's answer to their arrival.
func latencies(t *testing.T, w *world, p *peer, first uint64) []time.Duration {
	t.Helper()
	stop := w.run(t)
	defer stop()
	var took []time.Duration
	for n := range uint64(40) {
		before := len(p.arrived())
		w.post(t, message("good", first+n+1, "", p.actor("zoe")))
		begin := time.Now()
		got := p.await(t, before+1)
		took = append(took, max(0, got[before].at.Sub(begin)))
	}
	return took
}

func median(list []time.Duration) time.Duration {
	list = slices.Clone(list)
	slices.Sort(list)
	return list[len(list)/2]
}
