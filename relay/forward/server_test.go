package forward_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/relay/forward"
)

// greeter answers every request with ok, but reads on after a POST.
func greeter(t *testing.T) net.Listener {
	t.Helper()
	return serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		for {
			head, err := readHead(c)
			if err != nil {
				return
			}
			if strings.HasPrefix(head, "POST") {
				io.Copy(io.Discard, c)
			}
			io.WriteString(c, ok)
		}
	})
}

func TestLimitsOnRequests(t *testing.T) {
	t.Parallel()
	l := greeter(t)
	g := open(t, setup{
		server: forward.ServerOptions{Limits: forward.Limits{
			HeaderTimeout: 200 * time.Millisecond, IdleTimeout: 200 * time.Millisecond, BodyTimeout: 200 * time.Millisecond,
			HeaderBytes: 4096, HeaderFields: 10, TargetBytes: 100,
		}},
		upstream: forward.UpstreamOptions{URL: urlOf(l)},
	}, nil)
	longest := "GET /" + strings.Repeat("a", 99) + " HTTP/1.1\r\nHost: a\r\nX: "
	longest += strings.Repeat("a", 4096-len(longest)-len("\r\n\r\n")) + "\r\n\r\n"
	for _, w := range []struct{ name, send, status, limit string }{
		{"slow head", "GET / HTTP/1.1\r\nHost: a\r\n", "408", "header_timeout"},
		{"slow request line", "GET", "408", "header_timeout"},
		{"nothing", "", "", "header_timeout"},
		{"an empty line and nothing", "\r\n", "", "header_timeout"},
		{"long head", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 5000) + "\r\n\r\n", "431", "header_bytes"},
		{"endless head", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("a", 50000), "431", "header_bytes"},
		{"many lines", "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X: 1\r\n", 10) + "\r\n", "431", "header_count"},
		{"long target", "GET /" + strings.Repeat("a", 100) + " HTTP/1.1\r\nHost: a\r\n\r\n", "414", "uri_bytes"},
		{"longest target and head, no next request", longest, "200", "idle_timeout"},
		{"no next request", next, "200", "idle_timeout"},
		{"an empty line and no next request", next + "\r\n", "200", "idle_timeout"},
		{"half an empty line and no next request", next + "\r", "200", "idle_timeout"},
		{"an empty line and a slow head", next + "\r\nGET", "200", "header_timeout"},
		{"an empty line between requests", next + "\r\n" + next, "200", "idle_timeout"},
		{"slow body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nabc", "408", "body_timeout"},
	} {
		before := metric(t, g, "sealgate_limit_exceeded_total", w.limit)
		c := dial(t, g.address)
		go io.WriteString(c, w.send)
		b, _ := io.ReadAll(c)
		if w.status == "" && len(b) > 0 || w.status != "" && !strings.HasPrefix(string(b), "HTTP/1.1 "+w.status+" ") {
			t.Errorf("%s: got %q", w.name, b)
		}
		if metric(t, g, "sealgate_limit_exceeded_total", w.limit) != before+1 {
			t.Errorf("%s is not counted", w.name)
		}
	}
	c := dial(t, g.address)
	io.WriteString(c, next)
	readN(c, ok)
	if !atEnd(c) {
		t.Error("an idle connection is kept")
	}
}

// A body that makes progress may take longer than the limit.
func TestSteadyBodiesAreNotSlow(t *testing.T) {
	t.Parallel()
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		io.CopyN(io.Discard, c, 10)
		io.WriteString(c, ok)
	})
	g := open(t, setup{
		server:   forward.ServerOptions{Limits: forward.Limits{BodyTimeout: 300 * time.Millisecond, MinProgress: 1}},
		upstream: forward.UpstreamOptions{URL: urlOf(l)},
	}, nil)
	c := dial(t, g.address)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 10 {
		<-tick.C
		io.WriteString(c, "x")
	}
	if b, same := readN(c, ok); !same {
		t.Errorf("got %q", b)
	}
}

// A body that made progress once must go on making it.
func TestBodiesThatSlowDownAreCut(t *testing.T) {
	t.Parallel()
	began := make(chan struct{})
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		close(began)
		io.Copy(io.Discard, c)
	})
	g := open(t, setup{
		server:   forward.ServerOptions{Limits: forward.Limits{BodyTimeout: 300 * time.Millisecond, MinProgress: 100}},
		upstream: forward.UpstreamOptions{URL: urlOf(l)},
	}, nil)
	c := dial(t, g.address)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
	<-began
	io.WriteString(c, strings.Repeat("x", 200))
	answered := make(chan string, 1)
	go func() {
		b, _ := readHead(c)
		answered <- b
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			io.WriteString(c, "x")
		case b := <-answered:
			if !strings.HasPrefix(b, "HTTP/1.1 408 ") {
				t.Errorf("got %q", b)
			}
			return
		}
	}
}

// Neither side's limit counts while the other makes it wait: an instance that does not take an upload for a while makes no slow
// client, and one whose reply pauses no slow reader.
func TestWaitingForTheInstanceIsNobodysFault(t *testing.T) {
	t.Parallel()
	const size, limit = 32 << 20, time.Second // more than all sockets on the way hold
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		br := bufio.NewReader(c)
		headOf(br)
		<-time.After(5 * limit / 2)
		n, _ := io.CopyN(io.Discard, br, size)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n%08d", n)
		<-time.After(5 * limit / 2)
		io.WriteString(c, "!")
	})
	up := setup{
		upstream: forward.UpstreamOptions{URL: urlOf(l)},
		server:   forward.ServerOptions{Limits: forward.Limits{BodyTimeout: limit, WriteTimeout: limit}},
	}
	for base, c := range map[string]*http.Client{
		"http://" + open(t, up, nil).address: http.DefaultClient, "https://" + openSecure(t, up, nil).address: client2(t),
	} {
		t.Run(base, func(t *testing.T) {
			t.Parallel()
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, base, io.LimitReader(zeros{}, size))
			req.ContentLength = size
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if b, err := io.ReadAll(resp.Body); string(b) != fmt.Sprintf("%08d!", size) || err != nil {
				t.Errorf("got %q, %v", b, err)
			}
		})
	}
}

// The limit of a body ends with the body: a reply may take longer.
func TestSlowRepliesAreNoSlowBodies(t *testing.T) {
	t.Parallel()
	began, release := make(chan struct{}), make(chan struct{})
	l := serveScript(t, "tcp", func(c net.Conn, n int) {
		defer c.Close()
		head, _ := readHead(c)
		if !strings.HasPrefix(head, "POST /answered ") {
			io.Copy(io.Discard, c)
			return
		}
		close(began)
		readN(c, "abc")
		<-release
		io.WriteString(c, ok)
		answerAnything(c, n)
	})
	g := open(t, setup{
		server:   forward.ServerOptions{Limits: forward.Limits{BodyTimeout: time.Second}},
		upstream: forward.UpstreamOptions{URL: urlOf(l)},
	}, nil)
	c, slow := dial(t, g.address), dial(t, g.address)
	io.WriteString(c, "POST /answered HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
	<-began
	io.WriteString(c, "bc")
	io.WriteString(slow, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
	if b, _ := readHead(slow); !strings.HasPrefix(b, "HTTP/1.1 408 ") {
		t.Errorf("the slow one got %q", b)
	}
	close(release)
	for range 2 {
		if b, same := readN(c, ok); !same {
			t.Fatalf("got %q", b)
		}
		io.WriteString(c, next)
	}
	if n := metric(t, g, "sealgate_limit_exceeded_total", "body_timeout"); n != 1 {
		t.Errorf("%v bodies were slow", n)
	}
}

func TestSlowReadersAreCut(t *testing.T) {
	t.Parallel()
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
		io.Copy(c, endless(1000000000))
	})
	g := open(t, setup{
		server:   forward.ServerOptions{Limits: forward.Limits{WriteTimeout: 200 * time.Millisecond}},
		upstream: forward.UpstreamOptions{URL: urlOf(l)},
	}, nil)
	c := dial(t, g.address)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") // and reads nothing
	eventually(t, "the reader is cut", func() bool {
		return metric(t, g, "sealgate_limit_exceeded_total", "write_timeout") == 1
	})
}

// A client that does not take an answer of the gateway's own gets no more of it, and not the end either.
func TestSlowReadersOfOwnAnswersAreCut(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	g := open(t, setup{
		server:   forward.ServerOptions{Limits: forward.Limits{WriteTimeout: 200 * time.Millisecond}},
		upstream: forward.UpstreamOptions{URL: "http://127.0.0.1:1"},
	}, func(*forward.Upstream) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) { ctx.SetBody(make([]byte, size)) }
	})
	c := dial(t, g.address)
	io.WriteString(c, next)
	eventually(t, "the reader is cut", func() bool {
		return metric(t, g, "sealgate_limit_exceeded_total", "write_timeout") == 1
	})
	if n, err := io.Copy(io.Discard, c); n >= size || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %d bytes, and then %v", n, err)
	}
}

func TestConnectionsPerClient(t *testing.T) {
	t.Parallel()
	l := greeter(t)
	s := setup{
		server:   forward.ServerOptions{Limits: forward.Limits{ConnectionsPerClient: 2}},
		upstream: forward.UpstreamOptions{URL: urlOf(l)},
	}
	g := open(t, s, nil)
	var kept []net.Conn
	for range 2 {
		c := dial(t, g.address)
		io.WriteString(c, next)
		readN(c, ok)
		kept = append(kept, c)
	}
	if b, _ := readHead(dial(t, g.address)); !strings.HasPrefix(b, "HTTP/1.1 429 ") {
		t.Errorf("the third got %q", b)
	}
	kept[0].Close()
	eventually(t, "a place is free again", func() bool {
		c := dial(t, g.address)
		io.WriteString(c, next)
		_, same := readN(c, ok)
		return same
	})
	s.server.TrustedProxies = loopback
	trusting := open(t, s, nil)
	for range 5 {
		c := dial(t, trusting.address)
		io.WriteString(c, next)
		if b, same := readN(c, ok); !same {
			t.Errorf("a trusted proxy got %q", b)
		}
		defer c.Close()
	}
}

// Behind a trusted proxy the clients it names are counted, by their requests at one time.
func TestRequestsPerProxiedClient(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	started := make(chan struct{}, 10)
	g := open(t, setup{
		server:   forward.ServerOptions{TrustedProxies: loopback, Limits: forward.Limits{ConnectionsPerClient: 1}},
		upstream: forward.UpstreamOptions{URL: "http://127.0.0.1:1"},
	}, func(*forward.Upstream) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			ctx.SetBodyString(forward.ClientAddr(ctx).String())
			started <- struct{}{}
			<-release
		}
	})
	ask := func(client string) net.Conn {
		c := dial(t, g.address)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, "+client+"\r\n\r\n")
		return c
	}
	first := ask("2001:db8::1")
	<-started
	if b, _ := readHead(ask("2001:db8::2")); !strings.HasPrefix(b, "HTTP/1.1 429 ") {
		t.Errorf("the same /64 got %q", b)
	}
	other := ask("2001:db8:0:1::1")
	<-started
	close(release)
	for _, c := range []net.Conn{first, other} {
		if b, _ := readHead(c); !strings.HasPrefix(b, "HTTP/1.1 200 ") {
			t.Errorf("got %q", b)
		}
	}
}

func TestUnixListener(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/front.sock"
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	const head = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\n"
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		if b, _ := readHead(c); b != head+"X-Forwarded-Proto: http\r\nX-Real-IP: 9.9.9.9\r\n\r\n" {
			t.Errorf("upstream got %q", b)
		}
		io.WriteString(c, ok)
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}, listen: "unix:" + path}, nil)
	c := dial(t, g.address)
	io.WriteString(c, head+"\r\n")
	if b, same := readN(c, ok); !same {
		t.Errorf("got %q", b)
	}
	if _, err := forward.Listen(t.Context(), "unix:"+path); err == nil {
		t.Error("a living socket was taken over")
	}
}

func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{
		"v1": "PROXY TCP4 9.9.9.9 10.0.0.1 5555 80\r\n",
		"v2": "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x09\x09\x09\x09\x0a\x00\x00\x01\x15\xb3\x00\x50",
	} {
		l := serveScript(t, "tcp", func(c net.Conn, _ int) {
			defer c.Close()
			if b, _ := readHead(c); !strings.Contains(b, "X-Forwarded-For: 9.9.9.9\r\n") || !strings.Contains(b, "X-Real-IP: 9.9.9.9\r\n") {
				t.Errorf("%s: upstream got %q", name, b)
			}
			io.WriteString(c, ok)
		})
		wrap := func(l net.Listener) net.Listener { return forward.ProxyProtocol(l, loopback) }
		g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}, wrap: wrap}, nil)
		c := dial(t, g.address)
		io.WriteString(c, header+"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if b, same := readN(c, ok); !same {
			t.Errorf("%s: got %q", name, b)
		}
		stranger := dial(t, open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}, wrap: func(l net.Listener) net.Listener {
			return forward.ProxyProtocol(l, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
		}}, nil).address)
		io.WriteString(stranger, header+"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if b, _ := io.ReadAll(stranger); !strings.HasPrefix(string(b), "HTTP/1.1 400 ") {
			t.Errorf("%s: a stranger got %q", name, b)
		}
	}
}

func TestShutdownDrains(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		close(arrived)
		<-release
		io.WriteString(c, ok)
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	idle, busy := dial(t, g.address), dial(t, g.address)
	io.WriteString(busy, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-arrived
	ended := make(chan error, 1)
	go func() { ended <- g.server.Shutdown(context.Background()) }()
	if !atEnd(idle) {
		t.Error("the idle connection was not closed in order")
	}
	close(release)
	want := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
	if b, same := readN(busy, want); !same || !atEnd(busy) {
		t.Errorf("got %q", b)
	}
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if c, err := net.Dial("tcp", g.address); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

func TestShutdownCutsTunnels(t *testing.T) {
	t.Parallel()
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		io.WriteString(c, "HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		io.Copy(io.Discard, c)
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
	readHead(c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.server.Shutdown(ctx) }()
	<-g.server.Drained() // for tunnels it does not wait
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the tunnel is still there")
	}
}

// What is under way when the time is over is cut, and then nothing is.
func TestShutdownCutsRequests(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		close(arrived)
		io.Copy(io.Discard, c)
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	io.WriteString(c, next)
	<-arrived
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	select {
	case <-g.server.Drained():
	default:
		t.Error("not drained")
	}
	if b, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the request is still there, after %q", b)
	}
}

func TestBadURLs(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"", "unix:", "https://a", "ftp://a", "http://", "http://u@a", "http://a/b", "http://a?b", "a:1"} {
		if _, err := forward.NewUpstream(forward.UpstreamOptions{URL: u}); err == nil {
			t.Errorf("%q is accepted", u)
		}
	}
}

// Whatever comes, what reaches the upstream is read by net/http as exactly one request, or nothing does.
func FuzzForwardedRequestsAreOne(f *testing.F) {
	for _, w := range requests {
		f.Add([]byte(w.send))
	}
	for _, s := range ambiguous {
		f.Add([]byte(s))
	}
	for _, s := range badChunks {
		f.Add([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + s))
	}
	got := make(chan error, 16)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			got <- oneRequest(c)
			c.Close()
		}
	}()
	g := open(f, setup{
		server:   forward.ServerOptions{Limits: forward.Limits{HeaderTimeout: 200 * time.Millisecond, BodyTimeout: 200 * time.Millisecond, ConnectionsPerClient: 1 << 20}},
		upstream: forward.UpstreamOptions{URL: urlOf(l)},
	}, nil)
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := net.Dial("tcp", g.address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		c.Write(in)
		c.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		for {
			select {
			case err := <-got:
				if err != nil {
					t.Errorf("%v from %q", err, in)
				}
			default:
				return
			}
		}
	})
}

// oneRequest reads a connection as a strict server does and answers once. A request cut short is none.
func oneRequest(c net.Conn) error {
	c.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(c)
	if _, err := r.Peek(1); err != nil {
		return nil //nolint:nilerr // nothing was sent
	}
	req, err := http.ReadRequest(r)
	if _, ok := errors.AsType[*url.Error](err); ok {
		return nil // a target only net/url minds
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return ended(r)
	}
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, req.Body); errors.Is(err, io.ErrUnexpectedEOF) {
		return ended(r)
	} else if err != nil {
		return err
	}
	if r.Buffered() > 0 {
		return errors.New("more than one request")
	}
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	return nil
}

// ended reports a request that breaks off although its connection goes on.
func ended(r *bufio.Reader) error {
	if b, err := r.Peek(1); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("a request is cut and the connection goes on with %q: %w", b, err)
	}
	return nil
}
