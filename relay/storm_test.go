package relay_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/relay"
)

// TestReconnectStorm: a client that opens its stream a thousand times, as fast as it can, and leaves each time, is
// answered each time; others are served meanwhile, and nothing of it stays in memory.
func TestReconnectStorm(t *testing.T) {
	w := newWorldWith(t, memory(), gate{}, func(o *relay.Options) { o.Streams = 16 })
	for n := range 20 {
		w.send(t, n+1)
	}
	w.storm(t) // what is kept for the next request is there now
	heap, routines := held(), runtime.NumGoroutine()
	served, refused := w.storm(t)
	if served+refused != stormed || served == 0 {
		t.Errorf("%d streams and %d refusals, want %d together", served, refused, stormed)
	}
	w.until(t, func() bool { return w.gauge(t, "sealgate_sse_clients") == 0 && runtime.NumGoroutine() <= routines+10 })
	if grown := held() - heap; grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	t.Logf("%d streams, %d refusals", served, refused)
}

const stormed = 1000

// held is what the heap holds, in bytes.
func held() int64 {
	runtime.GC()
	runtime.GC() // what pools gave up in the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// storm opens streams of alice's from many connections at once, while bob reads.
func (w *world) storm(t *testing.T) (served, refused int64) {
	t.Helper()
	var yes, no atomic.Int64
	var everybody sync.WaitGroup
	for range 50 {
		everybody.Go(func() {
			for range stormed / 50 {
				w.knock(t, &yes, &no)
			}
		})
	}
	for range 100 {
		if got := w.ask(t, http.MethodGet, "/e2ee/users/bob/messages", nil, "Authorization", "Bearer of-bob"); got.status != http.StatusOK {
			t.Errorf("bob is answered %+v", got)
		}
	}
	everybody.Wait()
	return yes.Load(), no.Load()
}

// knock is one connection: a stream's first event, or a refusal with a sentence.
func (w *world) knock(t *testing.T, served, refused *atomic.Int64) {
	c, err := w.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "")
	if err != nil {
		t.Error(err)
		return
	}
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer of-alice\r\nLast-Event-ID: 19\r\n\r\n", eventsPath, domain)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		_ = c.Close()
		t.Error(err)
		return
	}
	defer res.Body.Close()
	defer c.Close() // first: a stream has no end to be read
	switch res.StatusCode {
	case http.StatusOK:
		served.Add(1)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		refused.Add(1)
		if body, _ := io.ReadAll(res.Body); res.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "try again later") {
			t.Errorf("refused with %v %s", res.Header, body)
		}
	default:
		t.Errorf("answered %s", res.Status)
	}
}

// failing is a store that takes nothing while its disk is full.
type failing struct {
	*inboxtest.Memory

	down atomic.Bool
}

func (f *failing) Append(ctx context.Context, list []inbox.Message) ([]inbox.Result, error) {
	if f.down.Load() {
		return nil, errOnFire
	}
	return f.Memory.Append(ctx, list)
}

// TestRefusalsCostNothing: whatever is refused between, by 413, 429 or 503, all that was accepted is read, in order.
func TestRefusalsCostNothing(t *testing.T) {
	size := int64(len(create("10", alice)))
	store := &failing{Memory: &inboxtest.Memory{Quota: 40 * size}}
	w := newWorldWith(t, store, gate{}, func(o *relay.Options) { o.MaxActivity = 8 << 10 })
	huge := create("huge", alice)[:1] + strings.Repeat(" ", 8<<10) + create("huge", alice)[1:]
	var accepted []string
	answered := map[int]int{}
	for n := range 60 {
		store.down.Store(n%5 == 4)
		got := w.deliver(t, "/inbox", create(fmt.Sprint(n), alice))
		answered[got.status]++
		if got.status == http.StatusAccepted {
			accepted = append(accepted, fmt.Sprintf("https://far.example/a/%d", n))
		} else {
			checkProblem(t, fmt.Sprint(n), got)
		}
		answered[w.deliver(t, "/inbox", huge).status]++
	}
	if answered[202] == 0 || answered[413] != 60 || answered[429] == 0 || answered[503] == 0 {
		t.Fatalf("answered %v: not every refusal was met", answered)
	}
	store.down.Store(true) // and reads go on
	l := w.listen(t, "", "Last-Event-ID", "0")
	for i, want := range accepted {
		if id := l.next().activityID(t); id != want {
			t.Fatalf("the stream's event %d is %s, want %s", i, id, want)
		}
	}
	var read []string
	for n := len(accepted)/20 + 1; n >= 1; n-- {
		page := w.ask(t, http.MethodGet, fmt.Sprintf("/e2ee/users/alice/messages?page=%d", n), nil, "Authorization", "Bearer of-alice").body
		for _, part := range strings.Split(page, `"id":"https://far.example/a/`)[1:] {
			id, _, _ := strings.Cut(part, `"`)
			read = append([]string{"https://far.example/a/" + id}, read...)
		}
	}
	if strings.Join(read, " ") != strings.Join(accepted, " ") {
		t.Errorf("the pages have %q, accepted were %q", read, accepted)
	}
}
