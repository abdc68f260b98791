package forward_test

import (
	"bytes"
	"io"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/relay/forward"
)

// mill is an upstream that answers requests of a known length, 0: without a body, and does not allocate.
func mill(t testing.TB, length int, reply string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				request, answer := make([]byte, max(length, 4096)), []byte(reply)
				for n := 0; ; {
					m, err := c.Read(request[n:])
					if err != nil {
						return
					}
					if n += m; n == length || length == 0 && bytes.HasSuffix(request[:n], []byte("\r\n\r\n")) {
						c.Write(answer)
						n = 0
					}
				}
			}()
		}
	}()
	return l
}

// turn sends a request and reads its reply, again and again, without allocating.
type turn struct {
	c              net.Conn
	request, reply []byte
	got            []byte
}

func newTurn(t testing.TB, address, request, reply string) *turn {
	t.Helper()
	c := dial(t, address)
	c.SetDeadline(time.Time{})
	return &turn{c: c, request: []byte(request), reply: []byte(reply), got: make([]byte, len(reply))}
}

func (u *turn) once(t testing.TB) {
	u.c.Write(u.request)
	if _, err := io.ReadFull(u.c, u.got); err != nil || !bytes.Equal(u.got, u.reply) {
		t.Fatalf("got %.200q, %v", u.got, err)
	}
}

var (
	kilobyte = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1024\r\n\r\n" + strings.Repeat("a", 1024)
	chunks   = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
)

const (
	get  = "GET /@alice HTTP/1.1\r\nHost: social.example\r\nUser-Agent: test/1.0\r\nAccept: text/html\r\nCookie: a=b\r\n"
	post = "POST /inbox HTTP/1.1\r\nHost: social.example\r\nContent-Type: application/activity+json\r\nContent-Length: 10240\r\n"
)

func BenchmarkForward(b *testing.B) {
	l := mill(b, len(get+added+"\r\n"), kilobyte)
	g := open(b, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	u := newTurn(b, g.address, get+"\r\n", kilobyte)
	b.ReportAllocs()
	for b.Loop() {
		u.once(b)
	}
}

func BenchmarkReverseProxy(b *testing.B) {
	l := mill(b, 0, kilobyte)
	target, err := url.Parse(urlOf(l))
	if err != nil {
		b.Fatal(err)
	}
	p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		r.SetXForwarded()
	}}
	s := httptest.NewServer(p)
	b.Cleanup(s.Close)
	c := dial(b, s.Listener.Addr().String())
	c.SetDeadline(time.Time{})
	b.ReportAllocs()
	io.WriteString(c, get+"\r\n")
	head, _ := readHead(c)
	io.CopyN(io.Discard, c, 1024)
	u := &turn{c: c, request: []byte(get + "\r\n"), got: make([]byte, len(head)+1024)}
	for b.Loop() {
		u.c.Write(u.request)
		if _, err := io.ReadFull(u.c, u.got); err != nil {
			b.Fatal(err)
		}
	}
}
