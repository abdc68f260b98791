package forward_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/relay/forward"
)

// limited opens a gateway with TLS that has such limits.
func limited(t *testing.T, l forward.Limits) *gateway {
	t.Helper()
	_, up := okUpstream(t)
	return openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}, server: forward.ServerOptions{Limits: l}}, nil)
}

// hangs reports whether c, on which nobody was served, is open all the same.
func hangs(t *testing.T, c net.Conn) bool {
	t.Helper()
	_, err := c.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("who is not served hangs")
		return true
	}
	return false
}

// TestConnectionsOfAll: who comes when all places are taken is sent away and counted, with either protocol, and places become free.
func TestConnectionsOfAll(t *testing.T) {
	t.Parallel()
	g := limited(t, forward.Limits{Connections: 1})
	askOld := func() (net.Conn, bool) {
		c := tls.Client(dial(t, g.address), anyone("http/1.1"))
		io.WriteString(c, next)
		_, same := readN(c, ok)
		return c, same || hangs(t, c)
	}
	askNew := func() (net.Conn, bool) {
		r := dial2(t, g.address)
		r.ask(1, true, plainGet...)
		return r, r.outcome(1) == "200" || hangs(t, r)
	}
	for i, ask := range []func() (net.Conn, bool){askOld, askNew} { // each has places of its own
		first, served := ask()
		if !served {
			t.Fatal("the first is not served")
		}
		if _, served := ask(); served {
			t.Error("two are served")
		}
		if n := metric(t, g, "sealgate_limit_exceeded_total", "connections"); n != float64(i+1) {
			t.Errorf("%v are counted", n)
		}
		first.Close()
		eventually(t, "there is a place again", func() bool {
			before := metric(t, g, "sealgate_limit_exceeded_total", "connections")
			c, served := ask()
			c.Close()
			return served && metric(t, g, "sealgate_limit_exceeded_total", "connections") == before
		})
	}
}

// TestHTTP2ConnectionsPerClient: they are as many as others, and when one ends there is a place again.
func TestHTTP2ConnectionsPerClient(t *testing.T) {
	t.Parallel()
	g := limited(t, forward.Limits{ConnectionsPerClient: 1})
	welcome := func() (*raw2, bool) {
		r := dial2(t, g.address)
		_, err := r.ReadFrame()
		return r, err == nil || hangs(t, r)
	}
	first, served := welcome()
	if !served {
		t.Fatal("the first is not served")
	}
	if _, served := welcome(); served {
		t.Error("two are served")
	}
	if metric(t, g, "sealgate_limit_exceeded_total", "connections_per_client") != 1 {
		t.Error("not counted")
	}
	first.Close()
	eventually(t, "there is a place again", func() bool { _, served := welcome(); return served })
}

// TestHTTP2RequestsPerProxiedClient: behind a trusted proxy they count for whom it names, and the proxy itself has no limit.
func TestHTTP2RequestsPerProxiedClient(t *testing.T) {
	t.Parallel()
	started, release := make(chan string, 10), make(chan struct{})
	g := openSecure(t, setup{
		server:   forward.ServerOptions{TrustedProxies: loopback, Limits: forward.Limits{ConnectionsPerClient: 1}},
		upstream: forward.UpstreamOptions{URL: "http://127.0.0.1:1"},
	}, func(*forward.Upstream) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			started <- forward.ClientAddr(ctx).String()
			<-release
		}
	})
	r := dial2(t, g.address)
	ask := func(id uint32, more ...string) { r.ask(id, true, append(plainGet[:8:8], more...)...) }
	ask(1)
	ask(3)
	ask(5, "x-forwarded-for", "9.9.9.9")
	for range 3 {
		<-started
	}
	ask(7, "x-forwarded-for", "9.9.9.9")
	if got := r.outcome(7); got != "429" {
		t.Errorf("the same client was answered %s", got)
	}
	ask(9, "x-forwarded-for", "8.8.8.8")
	if got := <-started; got != "8.8.8.8" {
		t.Errorf("%s is served", got)
	}
	close(release)
	for id, seen := uint32(11), ""; seen != "200"; id += 2 { // when the first has ended
		ask(id, "x-forwarded-for", "9.9.9.9")
		if seen = r.outcome(id); seen != "200" && seen != "429" {
			t.Fatalf("answered %s", seen)
		}
	}
}

// TestUnusedLinksAreFew: no more connections to the upstream are kept than may be.
func TestUnusedLinksAreFew(t *testing.T) {
	t.Parallel()
	const all, kept = 4, 2
	unasked := make(chan error, 1)
	arrived, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{}, all)
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		in := bufio.NewReader(c)
		if _, err := headOf(in); err != nil {
			unasked <- err
			return
		}
		arrived <- struct{}{}
		<-release
		io.WriteString(c, ok)
		headOf(in)
		ended <- struct{}{}
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l), MaxIdle: kept}}, nil)
	var clients []net.Conn
	for range all {
		c := dial(t, g.address)
		io.WriteString(c, next)
		<-arrived
		clients = append(clients, c)
	}
	close(release)
	for _, c := range clients {
		if b, same := readN(c, ok); !same {
			t.Errorf("got %q", b)
		}
	}
	for range all - kept {
		<-ended
	}
	select {
	case <-ended:
		t.Error("fewer are kept than may be")
	default:
	}
	g.upstream.Close()
	for range kept {
		<-ended
	}
	io.WriteString(clients[0], next)
	if b, _ := readHead(clients[0]); !strings.HasPrefix(b, "HTTP/1.1 502 ") {
		t.Errorf("of a closed upstream: %q", b)
	}
	if err := <-unasked; !errors.Is(err, io.EOF) {
		t.Errorf("its connection ended with %v", err)
	}
}
