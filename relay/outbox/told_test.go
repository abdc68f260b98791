package outbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay/outbox"
)

// TestTold: the sender is told after an hour, and when a delivery is given up:
// what may pass, 401 too, after seven days. It is kept for clients that
// do not listen.
func TestTold(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		steps  []time.Duration
		want   []inbox.Kind
	}{
		{
			"unauthorized", http.StatusUnauthorized,
			[]time.Duration{61 * time.Minute, 6 * 24 * time.Hour, 23 * time.Hour},
			[]inbox.Kind{inbox.DeliveryDelayed, inbox.DeliveryDelayed, inbox.DeliveryFailed},
		},
		{"request timeout", http.StatusRequestTimeout, []time.Duration{59 * time.Minute, 2 * time.Minute}, []inbox.Kind{"", inbox.DeliveryDelayed}},
		{"too early", http.StatusTooEarly, []time.Duration{59 * time.Minute, 2 * time.Minute}, []inbox.Kind{"", inbox.DeliveryDelayed}},
		{"not implemented", http.StatusNotImplemented, []time.Duration{59 * time.Minute, 2 * time.Minute}, []inbox.Kind{"", inbox.DeliveryDelayed}},
		{
			"unavailable", http.StatusServiceUnavailable,
			[]time.Duration{61 * time.Minute, 6 * 24 * time.Hour, 23 * time.Hour},
			[]inbox.Kind{inbox.DeliveryDelayed, inbox.DeliveryDelayed, inbox.DeliveryFailed},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, settings{})
			var tries atomic.Int64
			p := newPeer(t, func(*http.Request, arrived) int { tries.Add(1); return c.status })
			awake := newPeer(t, nil)
			w.run(t)
			posted := w.post(t, message("g", 1, "", p.actor("zoe")))
			until(t, func() bool { return tries.Load() > 0 && w.idle(t) })
			for i, step := range c.steps {
				w.ahead.Add(int64(step))
				before := tries.Load()                                         // after the clock: a try that is counted now is settled by it
				w.post(t, message("nudge", uint64(i), "", awake.actor("yan"))) // the outbox looks at its clock
				until(t, func() bool { return tries.Load() > before && w.idle(t) })
				if got := w.reported(t, posted.ID, p); got != c.want[i] {
					t.Fatalf("after %v more: %q, want %q", step, got, c.want[i])
				}
			}
		})
	}
}

// TestOffLimits: where the client may not go, as to a private address, nothing is tried for longer than a day.
func TestOffLimits(t *testing.T) {
	w, awake := newWorld(t, settings{}), newPeer(t, nil)
	inside := &peer{Server: &httptest.Server{URL: "http://10.1.2.3"}}
	w.run(t)
	posted := w.post(t, message("g", 1, "", inside.actor("zoe")))
	for i, c := range []struct {
		step time.Duration
		want inbox.Kind
	}{{23 * time.Hour, inbox.DeliveryDelayed}, {2 * time.Hour, inbox.DeliveryFailed}} {
		w.ahead.Add(int64(c.step))
		w.post(t, message("nudge", uint64(i), "", awake.actor("yan"))) // the outbox looks at its clock
		until(t, func() bool { return w.reported(t, posted.ID, inside) == c.want })
	}
}

// TestToldOfWhatWaits: senders are told of what is never tried, too, because other deliveries to the same host, or in
// the same group, fail before it.
func TestToldOfWhatWaits(t *testing.T) {
	w := newWorld(t, settings{})
	var tries atomic.Int64
	dead := newPeer(t, func(*http.Request, arrived) int { tries.Add(1); return http.StatusBadGateway })
	awake := newPeer(t, nil)
	w.run(t)
	ids := map[string]bool{}
	for n := range 14 {
		ids[w.post(t, message(fmt.Sprint("group ", n%12), uint64(n), "", dead.actor("zoe"))).ID] = true
	}
	until(t, func() bool { return tries.Load() >= 10 && w.idle(t) }) // the breaker is open
	for i, step := range []struct {
		later time.Duration
		want  inbox.Kind
	}{{61 * time.Minute, inbox.DeliveryDelayed}, {7 * 24 * time.Hour, inbox.DeliveryFailed}} {
		w.ahead.Add(int64(step.later))
		w.post(t, message("nudge", uint64(i), "", awake.actor("yan")))                 // the outbox looks at its clock
		until(t, func() bool { return w.allReported(t, step.want, ids) && w.idle(t) }) // its turn is over, by the clock of now
	}
	if n := tries.Load(); n > 12 {
		t.Errorf("%d tries at a host that fails", n)
	}
	until(t, func() bool { return w.metric(t, "sealgate_delivery_queue").GetGauge().GetValue() == 0 })
}

// TestToldOnce: when one sender cannot be told, those of the same lane before them are not told again.
func TestToldOnce(t *testing.T) {
	var log syncBuffer
	w := newWorld(t, settings{log: slog.New(slog.NewTextHandler(&log, nil))})
	var tries atomic.Int64
	dead := newPeer(t, func(*http.Request, arrived) int { tries.Add(1); return http.StatusBadGateway })
	awake := newPeer(t, nil)
	w.run(t)
	ids := map[string]bool{}
	for n := range 33 {
		ids[w.post(t, message(fmt.Sprint("group ", n%11), uint64(n), "", dead.actor("zoe"))).ID] = true
	}
	until(t, func() bool { return tries.Load() >= 10 && w.idle(t) }) // the breaker is open
	w.untold.Store(6)                                                // the first is told by its try, and two of its lane or three of another are before
	w.ahead.Add(int64(7 * 24 * time.Hour))
	w.post(t, message("nudge", 1, "", awake.actor("yan"))) // the outbox looks at its clock
	until(t, func() bool { return w.untold.Load() <= 0 && w.idle(t) })
	if w.allReported(t, inbox.DeliveryFailed, ids) {
		t.Error("all are told already")
	}
	w.ahead.Add(int64(2 * time.Hour))
	w.post(t, message("nudge", 2, "", awake.actor("yan")))
	until(t, func() bool { return w.allReported(t, inbox.DeliveryFailed, ids) && w.idle(t) })
	if n := strings.Count(log.String(), "delivery given up"); n != len(ids) {
		t.Errorf("%d deliveries are given up %d times", len(ids), n)
	}
}

// TestExpiredSaysNothingOfItsHost: what cannot be tried any more leaves the breaker of a dead host as it is.
func TestExpiredSaysNothingOfItsHost(t *testing.T) {
	var log syncBuffer
	w := newWorld(t, settings{log: slog.New(slog.NewTextHandler(&log, nil))})
	var tries atomic.Int64
	dead := newPeer(t, func(*http.Request, arrived) int { tries.Add(1); return http.StatusBadGateway })
	awake := newPeer(t, nil)
	for n := range 12 {
		w.post(t, message(fmt.Sprint("group ", n), uint64(n), "", dead.actor("zoe")))
	}
	w.run(t)
	until(t, func() bool { return tries.Load() >= 10 && w.idle(t) }) // the breaker is open, and closes once in a quarter of an hour
	w.ForgetBodies()
	w.expired.Store(2)
	w.ahead.Add(int64(20 * time.Minute))
	w.post(t, message("nudge", 1, "", awake.actor("yan"))) // the outbox looks at its clock
	until(t, func() bool {
		return strings.Count(log.String(), "reason=expired") == 2 && tries.Load() > 10 && w.idle(t)
	})
	if n := tries.Load(); n != 11 {
		t.Errorf("%d tries, want 11", n)
	}
}

// allReported says whether alice was told exactly this, once of each.
func (w *world) allReported(t *testing.T, want inbox.Kind, ids map[string]bool) bool {
	t.Helper()
	list, err := inbox.New(inbox.Options{Store: w.store, Clock: w.now}).Reports(t.Context(), inbox.Owner(w.alice.Account))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, one := range list {
		if one.Kind == want && ids[one.Activity] {
			n++
		}
	}
	return n == len(ids)
}

// reported is the kind of what alice is told of an activity on p, and "" for nothing.
func (w *world) reported(t *testing.T, id string, p *peer) inbox.Kind {
	t.Helper()
	list, err := inbox.New(inbox.Options{Store: w.store, Clock: w.now}).Reports(t.Context(), inbox.Owner(w.alice.Account))
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		return ""
	}
	if n := list[0]; len(list) > 1 || n.Activity != id || n.Host != strings.TrimPrefix(p.URL, "http://") {
		t.Fatalf("one delivery has the reports %+v", list)
	}
	return list[0].Kind
}

// idle says that no delivery is under way: what was tried is settled.
func (w *world) idle(t *testing.T) bool {
	t.Helper()
	return w.metric(t, "sealgate_deliveries_active").GetGauge().GetValue() == 0
}

// TestToldArrived: what was late and arrived is not told to who comes later.
func TestToldArrived(t *testing.T) {
	w := newWorld(t, settings{})
	var well atomic.Bool
	var tries atomic.Int64
	p := newPeer(t, func(*http.Request, arrived) int {
		if tries.Add(1); well.Load() {
			return http.StatusAccepted
		}
		return http.StatusBadGateway
	})
	awake := newPeer(t, nil)
	w.run(t)
	posted := w.post(t, message("g", 1, "", p.actor("zoe")))
	until(t, func() bool { return tries.Load() > 0 })
	w.ahead.Add(int64(61 * time.Minute))
	w.post(t, message("nudge", 1, "", awake.actor("yan")))
	until(t, func() bool { return w.reported(t, posted.ID, p) == inbox.DeliveryDelayed })
	well.Store(true)
	w.ahead.Add(int64(time.Hour))
	w.post(t, message("nudge", 2, "", awake.actor("yan")))
	p.await(t, 1)
	until(t, func() bool { return w.reported(t, posted.ID, p) == "" })
}

// TestLogNamesNobody: what the log says of a delivery is its server.
func TestLogNamesNobody(t *testing.T) {
	var log syncBuffer
	w, p := newWorld(t, settings{log: slog.New(slog.NewTextHandler(&log, nil))}), newPeer(t, nil)
	w.post(t, message("g", 1, "", p.actor("zoe"))) // her address is known
	p.Close()
	w.post(t, message("g", 2, "", p.actor("yan"))) // his is not
	w.ahead.Add(int64(8 * 24 * time.Hour))
	w.run(t)
	until(t, func() bool { return strings.Count(log.String(), "delivery given up") == 2 })
	if text := log.String(); !strings.Contains(text, "reason=no_answer") || strings.Contains(text, "zoe") || strings.Contains(text, "yan") || strings.Contains(text, "alice") {
		t.Error(text)
	}
}

// TestKeyErrorsNameNobody: they are logged.
func TestKeyErrorsNameNobody(t *testing.T) {
	keys := files(t, t.TempDir())
	for _, name := range []string{"alice", "../alice"} {
		if _, err := keys.Key(t.Context(), outbox.Sender{Name: name}); !errors.Is(err, outbox.ErrNoKey) || strings.Contains(err.Error(), "alice") {
			t.Errorf("the key of %s: %v", name, err)
		}
	}
}

// syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
