package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// besieged is a built gateway before an instance with large and endless pages, and what it holds when nobody attacks it.
type besieged struct {
	*battered

	descriptors, goroutines, heap int
	may                           int // descriptors it may have
}

func newBesieged(t *testing.T) *besieged {
	t.Helper()
	return newBesiegedAt(t, freeAddress(t))
}

func newBesiegedAt(t *testing.T, listen string) *besieged {
	t.Helper()
	s := &besieged{battered: newBatteredAt(t, listen, endlessPages)}
	// The unit gives 65,536. Without the right to it what there is must do.
	_ = unix.Prlimit(s.process.PID, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 65536, Max: 65536}, nil)
	var limit unix.Rlimit
	if err := unix.Prlimit(s.process.PID, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	s.may = int(limit.Cur)
	s.ordinary()
	s.descriptors, s.goroutines, s.heap = s.has()
	return s
}

// endlessPages are /large, 4 MiB; /endless, an event stream that says one thing; and /talks, one that goes on.
func endlessPages(home http.Handler) http.Handler {
	large := make([]byte, 4<<20)
	mux := http.NewServeMux()
	mux.Handle("/", home)
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(large) })
	stream := func(every time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for tick := time.NewTicker(every); ; {
				_, _ = io.WriteString(w, ":)\n\n")
				if http.NewResponseController(w).Flush() != nil {
					return
				}
				select {
				case <-tick.C:
				case <-r.Context().Done():
					return
				}
			}
		}
	}
	mux.HandleFunc("/endless", stream(time.Hour))
	mux.HandleFunc("/talks", stream(time.Second))
	return mux
}

// has is what the gateway holds: descriptors, goroutines, and bytes of its heap after a collection.
func (s *besieged) has() (descriptors, goroutines, heap int) {
	s.t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.process.PID))
	if err != nil {
		s.t.Fatal(err)
	}
	_, _, _ = s.do(s.t.Context(), s.request(http.MethodGet, s.process.Admin+"/debug/pprof/heap?gc=1", "", ""))
	return len(open), s.metric("go_goroutines"), s.metric("go_memstats_heap_alloc_bytes")
}

// metric sums the metric's values.
func (s *besieged) metric(name string) int {
	s.t.Helper()
	_, _, body := s.do(s.t.Context(), s.request(http.MethodGet, s.process.Admin+"/metrics", "", ""))
	sum := 0.0
	for _, m := range regexp.MustCompile(`(?m)^`+name+`(?:\{.*\})? (\S+)$`).FindAllSubmatch(body, -1) {
		v, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			s.t.Fatal(err)
		}
		sum += v
	}
	return int(sum)
}

// ordinary is what everybody else does: read a page, and write to bob.
func (s *besieged) ordinary() {
	s.t.Helper()
	if status, _, body := s.do(s.t.Context(), s.request(http.MethodGet, s.process.URL+"/@bob", "", "")); status != http.StatusOK {
		s.t.Errorf("a page: %d %s", status, body)
	}
	if id, status := s.post(s.t.Context(), s.others[0], "other"); status != http.StatusAccepted {
		s.t.Errorf("%s: %d", id, status)
	}
}

// meanwhile does ordinary things until stop, which says how often and how long the longest took.
func (s *besieged) meanwhile() (stop func() (times int, longest time.Duration)) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var times int
	var longest time.Duration
	var one sync.WaitGroup
	one.Go(func() {
		for times == 0 || ctx.Err() == nil {
			begin := time.Now()
			s.ordinary()
			times, longest = times+1, max(longest, time.Since(begin))
		}
	})
	return func() (int, time.Duration) { cancel(); one.Wait(); return times, longest }
}

// recovers waits until the gateway holds no more than before, within so long.
func (s *besieged) recovers(what string, within time.Duration) {
	s.t.Helper()
	s.client.CloseIdleConnections()
	if blamed := s.metric("sealgate_upstream_errors_total"); blamed > 0 {
		s.t.Errorf("%s: the instance is blamed %d times", what, blamed)
	}
	deadline := time.After(within)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); ; {
		d, g, h := s.has()
		if streams := s.metric("sealgate_sse_clients"); d <= s.descriptors+16 && g <= s.goroutines+32 && h <= s.heap+16<<20 && streams == 0 {
			s.t.Logf("%s: after %s again %d descriptors, %d goroutines, %d KiB of heap, %d MiB resident", what, time.Since(begin).Round(100*time.Millisecond), d, g, h>>10, s.anonymous())
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("%s: %d descriptors, %d goroutines, %d KiB of heap are held; before it were %d, %d, %d\n%s", what, d, g, h>>10, s.descriptors, s.goroutines, s.heap>>10, s.process.Counted(s.t.Context()))
		}
	}
}

// peak says what is held now, for the record.
func (s *besieged) peak(what string, times int, longest time.Duration) {
	s.t.Helper()
	d, g, h := s.has()
	s.t.Logf("%s: %d descriptors, %d goroutines, %d KiB of heap; meanwhile %d others were served, the slowest in %s", what, d, g, h>>10, times, longest.Round(time.Millisecond))
}

// TestResetFloods: thousands of connections that are reset in the middle of heads, of bodies and of answers leave nothing behind, and
// others are served meanwhile.
func TestResetFloods(t *testing.T) {
	count := 500
	if soaking() {
		count = 10_000
	}
	s := newBesieged(t)
	host := "Host: " + s.home.Host() + "\r\n"
	for what, a := range map[string]assault{
		"nothing":           {Requests: []string{""}},
		"half a head":       {Requests: []string{"GET /@bob HTTP/1.1\r\nHo"}},
		"half a body":       {Requests: []string{"POST /x HTTP/1.1\r\n" + host + "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 50_000)}},
		"half an activity":  {Requests: []string{"POST /inbox HTTP/1.1\r\n" + host + "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 50_000)}},
		"half a reply":      {Requests: []string{"GET /large HTTP/1.1\r\n" + host + "\r\n"}, Hear: "HTTP/1.1 200"},
		"before the reply":  {Requests: []string{"GET /@bob HTTP/1.1\r\n" + host + "\r\n"}},
		"an event stream":   {Requests: s.streams(1)},
		"a foreign stream":  {Requests: []string{"GET /endless HTTP/1.1\r\n" + host + "\r\n"}, Hear: ":)"},
		"half of pipelined": {Requests: []string{strings.Repeat("GET /@bob HTTP/1.1\r\n"+host+"\r\n", 20)}, Hear: "HTTP/1.1 200"},
	} {
		a.Address, a.Count, a.Together = s.home.Host(), count, 100
		stop := s.meanwhile()
		begin := time.Now()
		assail(t, a, false).awaits(t, "done")
		took := time.Since(begin)
		times, longest := stop()
		s.peak(fmt.Sprintf("%s: %d resets in %s", what, count, took.Round(time.Millisecond)), times, longest)
		s.recovers(what, 30*time.Second)
	}
	s.audit()
}

// streams are requests for the event streams of enough people for so many: 32 for each.
func (s *besieged) streams(count int) (requests []string) {
	s.t.Helper()
	for n := range (count + 31) / 32 {
		p := s.person(s.home, fmt.Sprint("listener", len(s.tokens)+n))
		requests = append(requests, fmt.Sprintf("GET /e2ee/users/%s/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", p.Name, s.home.Host(), s.tokens[p]))
	}
	return requests
}

// TestStreamsThatVanish: clients that listen, to mailboxes and to the instance, and all reset their connections at once, are noticed, and
// what was held for them is given back.
func TestStreamsThatVanish(t *testing.T) {
	count := 500
	if soaking() {
		count = 10_000
	}
	s := newBesieged(t)
	for what, a := range map[string]assault{
		"event streams":   {Requests: s.streams(count), Hear: "id: "},
		"foreign streams": {Requests: []string{"GET /endless HTTP/1.1\r\nHost: " + s.home.Host() + "\r\n\r\n"}, Hear: ":)"},
	} {
		a.Address, a.Count, a.Together, a.Hold = s.home.Host(), count, 100, true
		if what == "foreign streams" { // two descriptors each
			a.Count = min(count, (s.may-1000)/2)
		}
		stop := s.meanwhile()
		p := assail(t, a, false)
		p.awaits(t, "done")
		times, longest := stop()
		s.peak(fmt.Sprintf("%d %s", a.Count, what), times, longest)
		if streams := s.metric("sealgate_sse_clients"); what == "event streams" && streams != count {
			t.Errorf("sealgate_sse_clients is %d, not %d", streams, count)
		}
		stop = s.meanwhile()
		p.says(t, "leave")
		p.awaits(t, "left")
		stop()
		s.recovers(what, 60*time.Second)
	}
}
