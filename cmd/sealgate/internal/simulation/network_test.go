package simulation_test

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// network is everything between the hosts. A POST waits until the event loop says
// what becomes of it; everything else is answered at once, unless the hosts are apart.
type network struct {
	hosts map[string]*host
	apart map[[2]string]bool
	news  chan struct{} // something took off

	mu     sync.Mutex
	flying []*flight
	misses map[[2]string]time.Time // when a host (the first) could not fetch from another
}

// flight is a POST on its way.
type flight struct {
	from, to string
	request  *http.Request
	body     []byte
	answer   chan *answer // nil: the connection breaks
}

// answer is a response read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a *answer) String() string {
	if a == nil {
		return "broken"
	}
	return http.StatusText(a.status)
}

// response is the answer to r, as a client gets it.
func (a *answer) response(r *http.Request) (*http.Response, error) {
	if a == nil {
		return nil, errBroken
	}
	return &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)),
	}, nil
}

// path is one incarnation's way out: when the incarnation is killed, whoever waits
// for an answer is gone with it, as kill -9 has it.
type path struct {
	net    *network
	from   string
	killed chan struct{}
}

var errBroken = errors.New("simulation: the connection broke")

// RoundTrip implements http.RoundTripper.
func (p path) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost {
		return p.net.fetch(p.from, r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	f := &flight{from: p.from, to: r.URL.Host, request: r, body: body, answer: make(chan *answer, 1)}
	p.net.add(f)
	select {
	case a := <-f.answer:
		return a.response(r)
	case <-r.Context().Done():
		p.net.remove(f)
		return nil, r.Context().Err()
	case <-p.killed:
		p.net.remove(f)
		runtime.Goexit()
		panic("bug: a killed gateway goes on")
	}
}

// fetch answers a GET as the front of the host would: actor documents by the instance, the rest by the gateway.
func (n *network) fetch(from string, r *http.Request) (*http.Response, error) {
	to := n.hosts[r.URL.Host]
	if to == nil || to.relay == nil || n.apart[link(from, r.URL.Host)] {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.misses[[2]string{from, r.URL.Host}] = time.Now()
		return nil, errBroken
	}
	if strings.HasPrefix(r.URL.Path, "/e2ee/") {
		return to.serve(r, nil).response(r)
	}
	return to.instance.RoundTrip(r)
}

// missed tells whether a host could not fetch from another within the time that a gateway remembers that.
func (n *network) missed(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	at, ok := n.misses[[2]string{from, to}]
	return ok && time.Since(at) <= 10*time.Second
}

func link(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

func (n *network) add(f *flight) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.flying = append(n.flying, f)
	select {
	case n.news <- struct{}{}:
	default:
	}
}

func (n *network) remove(f *flight) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.flying = slices.DeleteFunc(n.flying, func(other *flight) bool { return other == f })
}

// sorted are the flights in an order that does not depend on which goroutine came first.
func (n *network) sorted() []*flight {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := slices.Clone(n.flying)
	slices.SortFunc(list, func(a, b *flight) int {
		return cmp.Or(cmp.Compare(a.to, b.to), cmp.Compare(a.from, b.from),
			cmp.Compare(a.request.URL.Path, b.request.URL.Path), bytes.Compare(a.body, b.body))
	})
	return list
}

// land takes f out of the air and has its host answer.
func (n *network) land(f *flight) *answer {
	n.remove(f)
	to := n.hosts[f.to]
	if to == nil || to.relay == nil || n.apart[link(f.from, f.to)] {
		return nil
	}
	return to.serve(f.request, f.body)
}

// serve answers one request as the public front would, in the caller's goroutine.
func (h *host) serve(r *http.Request, body []byte) *answer {
	var raw bytes.Buffer
	out := r.Clone(r.Context())
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if err := out.Write(&raw); err != nil {
		panic("bug: " + err.Error())
	}
	var ctx fasthttp.RequestCtx
	var request fasthttp.Request
	request.Header.DisableNormalizing()
	if err := request.Read(bufio.NewReader(&raw)); err != nil {
		panic("bug: " + err.Error())
	}
	ctx.Init(&request, nil, nil)
	h.relay.Handle(&ctx)
	a := &answer{status: ctx.Response.StatusCode(), header: http.Header{}, body: bytes.Clone(ctx.Response.Body())}
	for name, value := range ctx.Response.Header.All() {
		a.header.Add(string(name), string(value))
	}
	if a.header.Get("Retry-After") != "" {
		a.header.Set("Retry-After", "45") // its jitter is not from the seed
	}
	return a
}

// clientTimeout is how long a gateway waits for another.
const clientTimeout = 10 * time.Second
