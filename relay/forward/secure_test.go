package forward_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/relay/forward"
)

// TestHTTP1OverTLS: who does not choose HTTP/2 gets the same faithful hop as without TLS, whatever the framing of the reply.
func TestHTTP1OverTLS(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("0123456789", 20_000)
	const head = "GET / HTTP/1.1\r\nb: 1\r\nHoSt: a\r\nA: 1\r\nB: 2\r\n"
	for _, w := range []struct{ framing, body string }{
		{"Content-Length: 200000\r\n\r\n", large},
		{"Transfer-Encoding: chunked\r\n\r\n", "30d40\r\n" + large + "\r\n0\r\n\r\n"},
	} {
		l := serveScript(t, "tcp", func(c net.Conn, _ int) {
			defer c.Close()
			for {
				b, err := readHead(c)
				if err != nil {
					return
				}
				if b != head+addedSecure+"\r\n" {
					t.Errorf("the upstream got %q", b)
				}
				io.WriteString(c, "HTTP/1.1 200 OK\r\n"+w.framing+w.body)
			}
		})
		g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
		c := tls.Client(dial(t, g.address), anyone("http/1.1"))
		in := bufio.NewReader(c)
		for range 2 {
			io.WriteString(c, head+"\r\n")
			reply, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(reply.Body)
			reply.Body.Close()
			if string(b) != large || err != nil {
				t.Errorf("%q: %d bytes, or others, and %v", w.framing, len(b), err)
			}
		}
	}
}

// measured is a connection that knows the largest piece written to it.
type measured struct {
	net.Conn
	largest *atomic.Int64
}

func (m measured) Write(p []byte) (int, error) {
	m.largest.Store(max(m.largest.Load(), int64(len(p))))
	return m.Conn.Write(p)
}

type measuredListener struct {
	net.Listener
	largest *atomic.Int64
}

func (l measuredListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return measured{c, l.largest}, err
}

// TestLargePiecesGoOutInParts: the time to write is that for 32 KiB, also when a whole document is there to be written.
func TestLargePiecesGoOutInParts(t *testing.T) {
	t.Parallel()
	const size = 300_000
	document := strings.Repeat("x", size)
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n493e0\r\n"+document+"\r\n0\r\n\r\n")
	})
	for _, changes := range []bool{true, false} {
		var largest atomic.Int64
		g := open(t, setup{
			upstream: forward.UpstreamOptions{URL: urlOf(l)},
			wrap:     func(l net.Listener) net.Listener { return measuredListener{l, &largest} },
		}, func(u *forward.Upstream) fasthttp.RequestHandler {
			return func(ctx *fasthttp.RequestCtx) {
				u.PassEdited(ctx, forward.Edit{Document: func(r forward.Reply) ([]byte, bool) { return r.Body, changes }})
			}
		})
		c := dial(t, g.address)
		io.WriteString(c, next)
		reply, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if string(b) != document || err != nil {
			t.Errorf("%d bytes, or others, and %v", len(b), err)
		}
		if largest.Load() > 32<<10 {
			t.Errorf("%d bytes were written at once", largest.Load())
		}
	}
}
