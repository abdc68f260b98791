package relay_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/relay"
)

const eventsPath = "/e2ee/users/alice/events"

// event is one block of an event stream.
type event struct{ id, data, retry, comment string }

// listener is a client of an event stream.
type listener struct {
	t      *testing.T
	answer *http.Response
	events chan event // closed at the end of the stream
	whole  bool       // it ended as a reply should; valid when events is closed
}

// listen opens alice's stream; header is name, value, name, value.
func (w *world) listen(t *testing.T, query string, header ...string) *listener {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+domain+eventsPath+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if query == "" {
		req.Header.Set("Authorization", "Bearer of-alice")
	}
	res, err := w.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	l := &listener{t: t, answer: res, events: make(chan event, 10_000)}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", req.URL, res.Status)
	}
	go l.parse()
	return l
}

func (l *listener) parse() {
	defer close(l.events)
	var e event
	lines := bufio.NewReader(l.answer.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			l.whole = err.Error() == "EOF" && line == ""
			return
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "\n":
			l.events <- e
			e = event{}
		case name == "id":
			e.id = value
		case name == "data" && e.data == "":
			e.data = value
		case name == "retry":
			e.retry = value
		case name == "":
			e.comment = ":" + value
		default:
			e.comment += "unexpected " + line
		}
	}
}

// next is the next event with data.
func (l *listener) next() event {
	l.t.Helper()
	for {
		e := l.any()
		if e.data != "" {
			return e
		}
	}
}

func (l *listener) any() event {
	l.t.Helper()
	select {
	case e, ok := <-l.events:
		if !ok {
			l.t.Fatal("the stream has ended")
		}
		return e
	case <-time.After(10 * time.Second):
		l.t.Fatal("no event within ten seconds")
	}
	return event{}
}

// ended waits for the end of the stream and gives what came before it.
func (l *listener) ended() (last event) {
	l.t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case e, ok := <-l.events:
			if !ok {
				return last
			}
			last = e
		case <-limit:
			l.t.Fatal("the stream has not ended")
		}
	}
}

// activityID is the id of the activity an event adds.
func (e event) activityID(t *testing.T) string {
	t.Helper()
	var add struct {
		Type, Target string
		Object       struct{ ID string }
	}
	if err := json.Unmarshal([]byte(e.data), &add); err != nil || add.Type != "Add" || add.Target != mailboxURL {
		t.Fatalf("%q: %v", e.data, err)
	}
	return add.Object.ID
}

func (w *world) send(t *testing.T, n int) {
	t.Helper()
	if got := w.deliver(t, "/inbox", create(strconv.Itoa(n), alice)); got.status != http.StatusAccepted {
		t.Fatalf("message %d: %+v", n, got)
	}
}

func TestEventsAreWhatContractSays(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	w.send(t, 1)
	l := w.listen(t, "")
	h := l.answer.Header
	if h.Get("Content-Type") != "text/event-stream" || h.Get("X-Accel-Buffering") != "no" ||
		!strings.Contains(h.Get("Cache-Control"), "no-store") || h.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("header %v", h)
	}
	if e := l.any(); e != (event{id: "1"}) {
		t.Errorf("%+v, want the cursor alone: what came before is not sent unasked", e)
	}
	body := "{\n \"id\":\"https://far.example/a/2\",\r\n" + strings.TrimPrefix(create("2", alice), `{"@context":"https://www.w3.org/ns/activitystreams","id":"https://far.example/a/2",`)
	if got := w.deliver(t, "/inbox", body); got.status != http.StatusAccepted {
		t.Fatalf("%+v", got)
	}
	folded := strings.NewReplacer("\n", " ", "\r", " ").Replace(body)
	want := event{id: "2", data: `{"type":"Add","object":` + folded + `,"target":"` + mailboxURL + `"}`}
	if e := l.next(); e != want {
		t.Errorf("%+v\nwant %+v", e, want)
	}
}

func TestEventsResume(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	for n := 1; n <= 70; n++ {
		w.send(t, n)
	}
	for _, c := range []struct {
		query, cursor string
		first         int
	}{
		{"", "69", 70},
		{"", "0", 1},
		{"", "3", 4},
		{"", "71", 1}, // never given: from the oldest kept
		{"", "-1", 1},
		{"", "18446744073709551615", 1},
		{"", "https://far.example/a/5", 1},
		{"?access_token=of-alice&after=https://far.example/a/5", "", 6},
		{"?access_token=of-alice&after=uri:uuid:own", "", 1},
	} {
		l := w.listen(t, c.query, "Last-Event-ID", c.cursor)
		for n := c.first; n <= 70; n++ {
			e := l.next()
			if e.id != strconv.Itoa(n) || e.activityID(t) != fmt.Sprintf("https://far.example/a/%d", n) {
				t.Fatalf("%+v: %+v, want number %d", c, e, n)
			}
		}
		_ = l.answer.Body.Close()
	}
}

// TestEventsAcrossTheSeam: a client that loses its connection again and again, while
// others write, sees everything once and in order.
func TestEventsAcrossTheSeam(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	const total, writers = 200, 4
	w.send(t, 0)
	var writing sync.WaitGroup
	for i := range writers {
		writing.Go(func() {
			for n := range total / writers {
				w.send(t, 1000*(i+1)+n)
			}
		})
	}
	defer writing.Wait()
	seen := map[string]bool{}
	for at := 1; at < total+1; {
		l := w.listen(t, "", "Last-Event-ID", strconv.Itoa(at))
		for range 7 {
			if at == total+1 {
				break
			}
			e := l.next()
			at++
			if e.id != strconv.Itoa(at) || seen[e.activityID(t)] {
				t.Fatalf("%+v, want position %d", e, at)
			}
			seen[e.activityID(t)] = true
		}
		_ = l.answer.Body.Close()
	}
	if len(seen) != total {
		t.Errorf("%d different, want %d", len(seen), total)
	}
}

func TestEventsAreTheirOwnersAlone(t *testing.T) {
	var log bytes.Buffer
	w := newWorldWith(t, memory(), gate{}, func(o *relay.Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	for _, c := range []struct {
		target, authorization string
		status                int
	}{
		{eventsPath, "", 401},
		{eventsPath, "Bearer nonsense", 401},
		{eventsPath, "Bearer of-bob", 404},
		{"/e2ee/users/carol/events", "Bearer of-alice", 404},
		{eventsPath, "Bearer narrow", 403},
		{eventsPath + "?access_token=", "", 401},
		{eventsPath + "?access_token=secret-nonsense", "", 401},
		{eventsPath + "?access_token=of-bob", "", 404},
		{eventsPath + "?access_token=of-alice", "Bearer of-bob", 404}, // the header is what counts
	} {
		header := []string{"Authorization", c.authorization}
		if c.authorization == "" {
			header = nil
		}
		got := w.ask(t, http.MethodGet, c.target, nil, header...)
		if got.status != c.status || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s with %q: %+v, want %d", c.target, c.authorization, got, c.status)
		}
		checkProblem(t, c.target, got)
	}
	w.listen(t, "?access_token=of-alice")
	w.shutdown()
	for _, token := range []string{"of-alice", "of-bob", "nonsense", "access_token"} {
		if strings.Contains(log.String(), token) {
			t.Errorf("the log has %q: %s", token, &log)
		}
	}
	if log.Len() == 0 {
		t.Error("nothing was logged: this test proves nothing")
	}
}

func TestEventsEndWithTheirToken(t *testing.T) {
	w := newWorldWith(t, memory(), gate{}, func(o *relay.Options) { o.Heartbeat = 50 * time.Millisecond })
	l := w.listen(t, "")
	l.any()
	for range 3 {
		if e := l.any(); e.comment != ":" {
			t.Errorf("%+v, want a heartbeat", e)
		}
	}
	w.upstream.away() // what the instance said last holds
	for range 3 {
		l.any()
	}
	w.upstream.mu.Lock()
	w.upstream.fail = false
	w.upstream.mu.Unlock()
	w.upstream.revoke("of-alice")
	l.ended()
	if !l.whole {
		t.Error("the stream was cut, not ended")
	}
	if n := w.gauge(t, "sealgate_sse_clients"); n != 0 {
		t.Errorf("%v streams are counted", n)
	}
}

func TestEventsEndWithTheServer(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	l := w.listen(t, "")
	l.any()
	go w.shutdown()
	last := l.ended()
	if wait, err := strconv.Atoi(last.retry); err != nil || wait < 1000 || !l.whole {
		t.Errorf("%+v, whole %v; want a retry hint and a whole reply", last, l.whole)
	}
}

func TestNewestStreamsOfAPersonStay(t *testing.T) {
	w := newWorldWith(t, memory(), gate{}, func(o *relay.Options) { o.StreamsPerOwner = 2; o.Streams = 3 })
	var open []*listener
	for range 3 {
		l := w.listen(t, "")
		l.any()
		open = append(open, l)
	}
	if last := open[0].ended(); last.retry == "" {
		t.Errorf("%+v, want a retry hint", last)
	}
	w.send(t, 1)
	open[1].next()
	open[2].next()
	for _, l := range open {
		_ = l.answer.Body.Close()
	}
	w.until(t, func() bool { return w.gauge(t, "sealgate_sse_clients") == 0 })
}

func TestTooManyStreams(t *testing.T) {
	w := newWorldWith(t, memory(), gate{}, func(o *relay.Options) { o.Streams = 1 })
	l := w.listen(t, "")
	l.any()
	got := w.ask(t, http.MethodGet, eventsPath, nil, "Authorization", "Bearer of-alice")
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("%+v, want 503", got)
	}
	if n := w.count(t, "sealgate_limit_exceeded_total"); n != 1 {
		t.Errorf("counted %v", n)
	}
	_ = l.answer.Body.Close()
	w.until(t, func() bool { return w.gauge(t, "sealgate_sse_clients") == 0 }) // noticed without a heartbeat
	w.listen(t, "").any()
}

func TestNoticesHaveNoID(t *testing.T) {
	size := int64(len(create("1", alice)))
	w := newWorldWith(t, &inboxtest.Memory{Quota: 10 * size}, gate{}, func(o *relay.Options) { o.Quota = 10 * size })
	l := w.listen(t, "")
	for n := 1; n <= 8; n++ {
		w.send(t, n)
	}
	for n := 1; n <= 8; n++ {
		if e := l.next(); e.id != strconv.Itoa(n) {
			t.Fatalf("%+v", e)
		}
	}
	checkNotice(t, l.next(), "mailbox_filling")
	w.send(t, 9)
	if e := l.next(); e.id != "9" {
		t.Errorf("%+v: warned twice", e)
	}
	w.inbox.Tell("1", inbox.Notice{Kind: inbox.LowWater, Name: "phone"})
	checkNotice(t, l.next(), "low_water")
	checkNotice(t, w.listen(t, "").next(), "mailbox_filling") // who comes later learns it too
}

// TestReportsAreReplayed: what became of a delivery is told to who listens, once, and to
// who comes later, until it has arrived.
func TestReportsAreReplayed(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	n := inbox.Notice{Kind: inbox.DeliveryDelayed, At: time.Now(), Host: "peer.example", Activity: "https://social.example/e2ee/activities/1"}
	l := w.listen(t, "")
	if err := w.inbox.Report(t.Context(), "1", n); err != nil {
		t.Fatal(err)
	}
	checkNotice(t, l.next(), "delivery_delayed")
	n.Kind = inbox.DeliveryFailed
	if err := w.inbox.Report(t.Context(), "1", n); err != nil {
		t.Fatal(err)
	}
	checkNotice(t, l.next(), "delivery_failed")
	later := w.listen(t, "")
	e := later.next()
	checkNotice(t, e, "delivery_failed")
	if !strings.Contains(e.data, n.Host) || !strings.Contains(e.data, n.Activity) {
		t.Errorf("it names neither host nor activity: %s", e.data)
	}
	if err := w.inbox.Retract(t.Context(), "1", n); err != nil {
		t.Fatal(err)
	}
	last := w.listen(t, "")
	w.send(t, 1)
	for _, one := range []*listener{later, last} {
		if e := one.next(); e.id != "1" {
			t.Errorf("%+v, want the message", e)
		}
	}
}

func checkNotice(t *testing.T, e event, kind string) {
	t.Helper()
	var a struct {
		Type   string
		Object struct{ Type, Kind string }
	}
	if err := json.Unmarshal([]byte(e.data), &a); err != nil || e.id != "" || a.Type != "Announce" || a.Object.Type != "Notice" || a.Object.Kind != kind {
		t.Errorf("%+v, want a notice of %s without id", e, kind)
	}
}

func TestSeekItem(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	fill(t, w.store, 1, 45)
	seek := func(target, token string) answer {
		return w.ask(t, http.MethodGet, target, nil, "Authorization", "Bearer "+token)
	}
	var c struct{ SeekItem, EventStream string }
	if err := json.Unmarshal([]byte(seek("/e2ee/users/alice/messages", "of-alice").body), &c); err != nil {
		t.Fatal(err)
	}
	if c.EventStream != "https://social.example"+eventsPath {
		t.Errorf("eventStream %q", c.EventStream)
	}
	base := strings.TrimPrefix(c.SeekItem, "https://social.example")
	for n, page := range map[int]string{1: "1", 20: "1", 21: "2", 45: "3"} {
		got := seek(base+fmt.Sprintf("item=https%%3A%%2F%%2Ffar.example%%2Fa%%2F%d", n), "of-alice")
		if got.status != http.StatusPermanentRedirect || got.header.Get("Location") != mailboxURL+"?page="+page ||
			got.header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("item %d: %+v", n, got)
		}
	}
	if got := seek(base+"?item=https://far.example/a/1", "of-alice"); got.status != http.StatusPermanentRedirect {
		t.Errorf("with one separator too many: %+v", got)
	}
	absent := seek(base+"item=https://far.example/a/46", "of-alice")
	others := seek(base+"item=https://far.example/a/1", "of-bob")
	for _, got := range []answer{absent, others} {
		if got.status != http.StatusNotFound || got.header.Get("Location") != "" {
			t.Errorf("%+v, want 404", got)
		}
		checkProblem(t, base, got)
	}
}

// gauge is the value of a gauge without labels.
func (w *world) gauge(t *testing.T, name string) float64 {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// until waits for something that is about to happen.
func (w *world) until(t *testing.T, happened func() bool) {
	t.Helper()
	limit := time.After(10 * time.Second)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !happened() {
		select {
		case <-look.C:
		case <-limit:
			t.Fatal("it has not happened within ten seconds")
		}
	}
}
