package forward_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/relay/forward"
)

// brittle is a journal that panics when it is first written to.
type brittle struct {
	journal
	broken bool
}

func (b *brittle) Write(p []byte) (int, error) {
	if !b.broken {
		b.broken = true
		panic("as a test")
	}
	return b.journal.Write(p)
}

// A panic that no handler contains ends its own connection only: others are served by the same thread.
func TestAPanicEndsOneConnection(t *testing.T) {
	t.Parallel()
	logged := new(brittle)
	l := serveScript(t, "tcp", answerAnything)
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}, server: forward.ServerOptions{Log: journalOf(logged)}},
		func(u *forward.Upstream) fasthttp.RequestHandler {
			return func(ctx *fasthttp.RequestCtx) {
				if string(ctx.Path()) == "/panic" {
					panic("as a test")
				}
				u.Pass(ctx)
			}
		})
	var others [4]io.ReadWriter
	for i := range others {
		others[i] = dial(t, g.address)
	}
	ask := func() {
		for _, c := range others {
			io.WriteString(c, next)
			if b, same := readN(c, ok); !same {
				t.Errorf("another client got %q", b)
			}
		}
	}
	ask()
	for _, want := range []string{"", "HTTP/1.1 500 "} { // the log's panic ends the first
		c := dial(t, g.address)
		io.WriteString(c, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n")
		if b, _ := io.ReadAll(c); !strings.HasPrefix(string(b), want) || want == "" && len(b) > 0 {
			t.Errorf("got %q, want %q", b, want)
		}
		ask()
	}
	for _, line := range []string{`"connection panicked" panic="as a test"`, `"handler panicked" panic="as a test"`} {
		if n := logged.count(line); n != 1 {
			t.Errorf("%s: logged %d times", line, n)
		}
	}
}

// A handler that panics inside of an exchange leaves no connection to the upstream behind.
func TestAPanicLeavesNoLink(t *testing.T) {
	t.Parallel()
	left := make(chan struct{}, 1)
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		io.WriteString(c, ok)
		if atEnd(c) {
			left <- struct{}{}
		}
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, func(u *forward.Upstream) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			u.PassEdited(ctx, forward.Edit{Document: func(forward.Reply) ([]byte, bool) { panic("as a test") }})
		}
	})
	c := dial(t, g.address)
	io.WriteString(c, next)
	if b, _ := io.ReadAll(c); !strings.HasPrefix(string(b), "HTTP/1.1 500 ") {
		t.Errorf("got %q", b)
	}
	select {
	case <-left:
	case <-time.After(patience):
		t.Error("it is still open")
	}
}

// brittleListener's connections panic when they are read on behind "lo".
type brittleListener struct{ net.Listener }

func (l brittleListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &brittleConn{Conn: c}, err
}

type brittleConn struct {
	net.Conn
	broken bool
}

func (c *brittleConn) Read(p []byte) (int, error) {
	if c.broken {
		panic("as a test")
	}
	n, err := c.Conn.Read(p)
	c.broken = bytes.HasSuffix(p[:n], []byte("lo"))
	return n, err
}

// A panic in the middle of an upload ends its exchange only, whether the reply has begun or not.
func TestAPanicOfAnUploadEndsOneConnection(t *testing.T) {
	t.Parallel()
	logged := new(journal)
	const early = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nearly"
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		for head, err := readHead(c); err == nil; head, err = readHead(c) {
			if strings.HasPrefix(head, "GET ") {
				io.WriteString(c, ok)
				continue
			}
			if strings.Contains(head, " /early ") {
				io.WriteString(c, early)
			}
			io.Copy(io.Discard, c)
		}
	})
	g := open(t, setup{
		upstream: forward.UpstreamOptions{URL: urlOf(l)}, server: forward.ServerOptions{Log: journalOf(logged)},
		wrap: func(l net.Listener) net.Listener { return brittleListener{l} },
	}, nil)
	other := dial(t, g.address)
	ask := func() {
		io.WriteString(other, next)
		if b, same := readN(other, ok); !same {
			t.Errorf("another client got %q", b)
		}
	}
	ask()
	c := dial(t, g.address)
	io.WriteString(c, "POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello")
	if b, _ := io.ReadAll(c); !strings.HasPrefix(string(b), "HTTP/1.1 500 ") {
		t.Errorf("before the reply: %q", b)
	}
	ask()
	c = dial(t, g.address)
	io.WriteString(c, "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhel")
	if b, same := readN(c, early); !same {
		t.Errorf("the reply begins with %q", b)
	}
	io.WriteString(c, "lo")
	if b, _ := io.ReadAll(c); len(b) > 0 {
		t.Errorf("the reply goes on with %q", b)
	}
	ask()
	if n := logged.count("handler panicked"); n != 2 {
		t.Errorf("%d panics are logged", n)
	}
}
