package forward_test

import (
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealgate/sealgate/relay/forward"
)

// An upstream that closes kept connections without saying so, as snac2 does, costs nobody anything.
func TestUpstreamThatClosesSilently(t *testing.T) {
	t.Parallel()
	const times = 200
	for _, network := range []string{"tcp", "unix"} {
		for _, request := range []string{
			"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
			"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		} {
			var seen atomic.Int64
			l := serveScript(t, network, func(c net.Conn, _ int) {
				defer c.Close()
				readHead(c)
				switch {
				case strings.Contains(request, "chunked"):
					readN(c, "3\r\nabc\r\n0\r\n\r\n")
				case strings.Contains(request, "POST"):
					readN(c, "abc")
				}
				seen.Add(1)
				io.WriteString(c, ok)
			})
			g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
			c := dial(t, g.address)
			for i := range times {
				io.WriteString(c, request)
				if b, same := readN(c, ok); !same {
					t.Fatalf("%s %.60q, request %d got %q", network, request, i, b)
				}
			}
			if seen.Load() != times {
				t.Errorf("%s: the upstream saw %d requests, want %d", network, seen.Load(), times)
			}
		}
	}
}

// A request that reached the upstream and got no answer is sent again only if that is harmless.
func TestReceivedRequestsAreNotRepeated(t *testing.T) {
	t.Parallel()
	for _, w := range []struct {
		method string
		seen   int64
		status string
	}{{"POST", 2, "502"}, {"PATCH", 2, "502"}, {"GET", 3, "200"}, {"DELETE", 3, "200"}} {
		var seen atomic.Int64
		l := serveScript(t, "tcp", func(c net.Conn, n int) {
			defer c.Close()
			for i := 0; ; i++ {
				if _, err := readHead(c); err != nil {
					return
				}
				seen.Add(1)
				if n == 0 && i == 1 {
					return // read, perhaps acted upon, never answered
				}
				io.WriteString(c, ok)
			}
		})
		g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
		c := dial(t, g.address)
		request := w.method + " / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
		io.WriteString(c, request)
		readN(c, ok)
		io.WriteString(c, request)
		if b, _ := readHead(c); !strings.HasPrefix(b, "HTTP/1.1 "+w.status+" ") {
			t.Errorf("%s got %q", w.method, b)
		}
		if seen.Load() != w.seen {
			t.Errorf("the upstream saw %s %d times, want %d", w.method, seen.Load(), w.seen)
		}
	}
}

func TestFreshConnectionsAreNotRetried(t *testing.T) {
	t.Parallel()
	var seen atomic.Int64
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		seen.Add(1)
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if b, _ := readHead(c); !strings.HasPrefix(b, "HTTP/1.1 502 ") || seen.Load() != 1 {
		t.Errorf("got %q after %d tries", b, seen.Load())
	}
}

// A unix socket cannot tell what was read before it closed, so what must not be sent twice gets a connection of its own.
func TestUnixConnectionsCarryOnePost(t *testing.T) {
	t.Parallel()
	for _, w := range []struct {
		network, method string
		connections     int64
	}{{"unix", "POST", 3}, {"unix", "GET", 1}, {"tcp", "POST", 1}} {
		var connections atomic.Int64
		l := serveScript(t, w.network, func(c net.Conn, _ int) {
			connections.Add(1)
			for {
				if _, err := readHead(c); err != nil {
					return
				}
				io.WriteString(c, ok)
			}
		})
		g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
		c := dial(t, g.address)
		for range 3 {
			io.WriteString(c, w.method+" / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
			readN(c, ok)
		}
		if connections.Load() != w.connections {
			t.Errorf("three of %s over %s took %d connections, want %d", w.method, w.network, connections.Load(), w.connections)
		}
	}
}

// Bytes nobody asked for must not become the answer to the next request.
func TestUnaskedBytesSpoilAConnection(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "POST"} {
		l := serveScript(t, "tcp", func(c net.Conn, n int) {
			defer c.Close()
			for {
				if _, err := readHead(c); err != nil {
					return
				}
				if n == 0 {
					io.WriteString(c, ok+"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
					continue
				}
				io.WriteString(c, ok)
			}
		})
		g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
		c := dial(t, g.address)
		for range 3 {
			io.WriteString(c, method+" / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
			if b, same := readN(c, ok); !same {
				t.Fatalf("%s got %q", method, b)
			}
		}
	}
}

func TestLateBytesSpoilAConnection(t *testing.T) {
	t.Parallel()
	late, sent := make(chan struct{}), make(chan struct{})
	l := serveScript(t, "tcp", func(c net.Conn, n int) {
		for {
			if _, err := readHead(c); err != nil {
				return
			}
			io.WriteString(c, ok)
			if n == 0 {
				<-late
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
				close(sent)
			}
		}
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	readN(c, ok)
	close(late)
	<-sent
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if b, same := readN(c, ok); !same {
		t.Errorf("got %q", b)
	}
}

func TestIdleLinksAreDropped(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		readHead(c)
		io.WriteString(c, ok)
		io.Copy(io.Discard, c)
		close(ended)
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l), IdleTimeout: 50 * time.Millisecond}}, nil)
	c := dial(t, g.address)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	readN(c, ok)
	select {
	case <-ended:
	case <-time.After(patience):
		t.Error("the link was kept")
	}
}
