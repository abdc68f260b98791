package forward_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/relay/forward"
)

// added is what the hop adds for a peer on loopback that is not trusted.
const added = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Real-IP: 127.0.0.1\r\n"

const (
	next      = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"
	nextReply = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext"
	patience  = 10 * time.Second
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// serveScript accepts connections until the test ends and gives each to script with its number, from 0.
func serveScript(t *testing.T, network string, script func(c net.Conn, n int)) net.Listener {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = t.TempDir() + "/up.sock"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.SetDeadline(time.Now().Add(patience))
			go script(c, n)
		}
	}()
	return l
}

// gateway is a running server in front of an upstream.
type gateway struct {
	address  string
	upstream *forward.Upstream
	server   *forward.Server
	metrics  *prometheus.Registry
	requests atomic.Int64
}

type setup struct {
	server   forward.ServerOptions
	upstream forward.UpstreamOptions
	wrap     func(net.Listener) net.Listener
	listen   string
}

// open starts a gateway; Pass is the handler unless the setup has one that makes a handler of the upstream.
func open(t testing.TB, s setup, handler func(*forward.Upstream) fasthttp.RequestHandler) *gateway {
	t.Helper()
	g := &gateway{metrics: prometheus.NewRegistry()}
	s.upstream.Metrics, s.server.Metrics = g.metrics, g.metrics
	u, err := forward.NewUpstream(s.upstream)
	if err != nil {
		t.Fatal(err)
	}
	g.upstream = u
	h := u.Pass
	if handler != nil {
		h = forward.Waiting(handler(u))
	}
	s.server.Handler = func(ctx *fasthttp.RequestCtx) { g.requests.Add(1); h(ctx) }
	g.server = forward.NewServer(s.server)
	if s.listen == "" {
		s.listen = "127.0.0.1:0"
	}
	l, err := forward.Listen(t.Context(), s.listen)
	if err != nil {
		t.Fatal(err)
	}
	g.address = l.Addr().String()
	if s.wrap != nil {
		l = s.wrap(l)
	}
	served := make(chan error, 1)
	go func() { served <- g.server.Serve(context.Background(), l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		g.server.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		u.Close()
	})
	return g
}

func urlOf(l net.Listener) string {
	if l.Addr().Network() == "unix" {
		return "unix:" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	network := "tcp"
	if address[0] == '/' {
		network = "unix"
	}
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// readN reads as many bytes as want has and compares.
func readN(c io.Reader, want string) (string, bool) {
	b := make([]byte, len(want))
	n, _ := io.ReadFull(c, b)
	return string(b[:n]), string(b[:n]) == want
}

// readHead reads up to a blank line.
func readHead(c io.Reader) (string, error) {
	var b []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(b, []byte("\r\n\r\n")) {
		if _, err := io.ReadFull(c, one); err != nil {
			return string(b), err
		}
		b = append(b, one[0])
	}
	return string(b), nil
}

// atEnd reports whether nothing more comes and the connection ends in order.
func atEnd(c net.Conn) bool {
	n, err := c.Read(make([]byte, 1))
	return n == 0 && errors.Is(err, io.EOF)
}

func metric(t *testing.T, g *gateway, family, label string) float64 {
	t.Helper()
	all, err := g.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() != family {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// eventually waits for ok, which becomes true by itself.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("never: %s", what)
		}
	}
}
