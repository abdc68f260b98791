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
	for _, network := range []string{"tcp", "unix"} {
		for _, w := range []struct{ request, body string }{
			{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
			{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", "abc"},
			{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n"},
		} {
			t.Run(network, func(t *testing.T) { askSilentCloser(t, network, w.request, w.body) })
		}
	}
}

// askSilentCloser asks over one connection. A GET may follow before the upstream has closed; a POST that does is not sent again when
// the upstream resets the connection, for it may have been read.
func askSilentCloser(t *testing.T, network, request, body string) {
	t.Helper()
	const times = 200
	var seen atomic.Int64
	closed := make(chan struct{}, times)
	l := serveScript(t, network, func(c net.Conn, _ int) {
		readHead(c)
		readN(c, body)
		seen.Add(1)
		io.WriteString(c, ok)
		c.Close()
		closed <- struct{}{}
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	refused := int64(0)
	for i := range times {
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, request+body)
		b, same := readN(c, ok)
		if !same && body != "" && network == "tcp" && refused == 0 && strings.HasPrefix(b, "HTTP/1.1 502 ") {
			refused++ // the kernel had not delivered the end yet; from here on the upstream is known
			c = dial(t, g.address)
			continue
		}
		if !same {
			t.Fatalf("%.60q, request %d got %q", request, i, b)
		}
		if body != "" {
			<-closed
		}
	}
	if seen.Load() != times-refused {
		t.Errorf("the upstream saw %d of %.60q, want %d", seen.Load(), request, times-refused)
	}
}

// A request that reached the upstream and got no answer is sent again only if that is harmless.
func TestReceivedRequestsAreNotRepeated(t *testing.T) {
	t.Parallel()
	for _, w := range []struct {
		method string
		seen   int64
		status string
	}{{"POST", 2, "502"}, {"PATCH", 2, "502"}, {"get", 2, "502"}, {"GET", 3, "200"}, {"DELETE", 3, "200"}, {"OPTIONS", 3, "200"}, {"PUT", 3, "200"}, {"TRACE", 3, "200"}} {
		for _, end := range []string{"closes", "resets"} {
			t.Run(w.method+" "+end, func(t *testing.T) {
				seen, status := askOneThatStops(t, w.method, end == "resets")
				if status != w.status || seen != w.seen {
					t.Errorf("answered %s, and the upstream saw %d requests; want %s and %d", status, seen, w.status, w.seen)
				}
			})
		}
	}
}

// askOneThatStops makes two requests of an upstream that answers one and reads the next, perhaps acts upon it, and ends the connection.
func askOneThatStops(t *testing.T, method string, resets bool) (times int64, status string) {
	t.Helper()
	var seen atomic.Int64
	l := serveScript(t, "tcp", func(c net.Conn, n int) {
		defer c.Close()
		for i := 0; ; i++ {
			if _, err := readHead(c); err != nil {
				return
			}
			seen.Add(1)
			if n == 0 && i == 1 {
				if resets {
					c.(*net.TCPConn).SetLinger(0)
				}
				return
			}
			io.WriteString(c, ok)
		}
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	request := method + " / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
	io.WriteString(c, request)
	readN(c, ok)
	io.WriteString(c, request)
	head, _ := readHead(c)
	_, status, _ = strings.Cut(head, " ")
	status, _, _ = strings.Cut(status, " ")
	return seen.Load(), status
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

// A request that is sent again leaves the connection behind on which it was sent before.
func TestARepeatedRequestLeavesNoLink(t *testing.T) {
	t.Parallel()
	left := make(chan bool, 1)
	l := serveScript(t, "tcp", func(c net.Conn, n int) {
		defer c.Close()
		for i := 0; ; i++ {
			if _, err := readHead(c); err != nil {
				return
			}
			if n == 0 && i == 1 {
				c.(*net.TCPConn).CloseWrite()
				left <- atEnd(c)
				return
			}
			io.WriteString(c, ok)
		}
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	for range 2 {
		io.WriteString(c, next)
		if b, same := readN(c, ok); !same {
			t.Errorf("got %q", b)
		}
	}
	if !<-left {
		t.Error("it is still there")
	}
}

// A request that was not answered in time, or of whose answer something came, is not sent again, whatever it is.
func TestHalfAnswersAreNotAskedForAgain(t *testing.T) {
	t.Parallel()
	for half, status := range map[string]string{"": "504", "HTTP/1.1 200 OK\r\nA:": "502"} {
		var seen atomic.Int64
		l := serveScript(t, "tcp", func(c net.Conn, _ int) {
			defer c.Close()
			readHead(c)
			seen.Add(1)
			io.WriteString(c, ok)
			if _, err := readHead(c); err != nil {
				return
			}
			seen.Add(1)
			io.WriteString(c, half)
			if half == "" {
				io.Copy(io.Discard, c)
			}
		})
		g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l), HeaderTimeout: 300 * time.Millisecond}}, nil)
		c := dial(t, g.address)
		io.WriteString(c, next)
		readN(c, ok)
		io.WriteString(c, next)
		if b, _ := readHead(c); !strings.HasPrefix(b, "HTTP/1.1 "+status+" ") || seen.Load() != 2 {
			t.Errorf("got %q, and the upstream saw %d requests", b, seen.Load())
		}
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
