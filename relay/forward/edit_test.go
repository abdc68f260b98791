package forward_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/relay/forward"
)

// shout is an edit that makes ASCII documents upper case, and declines those that begin with "-".
func shout(u *forward.Upstream) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		u.PassEdited(ctx, forward.Edit{MaxBytes: 100, Origin: "*", Document: func(r forward.Reply) ([]byte, bool) {
			if bytes.HasPrefix(r.Body, []byte("-")) || len(r.Header("content-type")) == 0 {
				return nil, false
			}
			return bytes.ToUpper(r.Body), true
		}})
	}
}

// tagOfHundred is the entity tag of a hundred X.
const tagOfHundred = `"uQqgcwHoDRkTfp9pxayDZYdi"`

// tagOfHello is the entity tag of "HELLO".
const tagOfHello = `"NzPNl3_46xi5hzV-Is7Zn0YJ"`

func TestEditedDocuments(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 101)
	const open = "Access-Control-Allow-Origin: *\r\n"
	const ask = "GET / HTTP/1.1\r\nHost: a\r\n"
	hello := "HTTP/1.1 200 Fine\r\nContent-Type: t\r\netag: W/\"up\"\r\nVary: Accept\r\nContent-length: 5\r\nCache-Control: max-age=180\r\n\r\nhello"
	edited := "HTTP/1.1 200 Fine\r\nContent-Type: t\r\netag: " + tagOfHello + "\r\nVary: Accept\r\nContent-length: 5\r\nCache-Control: max-age=180\r\n" + open + "\r\n"
	for _, w := range []wire{
		{name: "edited", send: ask + "\r\n", reply: hello, returns: edited + "HELLO"},
		{
			name: "a reply may keep pages out", send: ask + "\r\n",
			reply:   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: t\r\naccess-control-allow-origin: https://a.example\r\n\r\nhello",
			returns: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: t\r\naccess-control-allow-origin: https://a.example\r\nETag: " + tagOfHello + "\r\n\r\nHELLO",
		},
		{name: "HEAD", send: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", reply: hello, returns: edited},
		{name: "conditional headers go", send: "GET / HTTP/1.1\r\nIf-None-Match: \"x\"\r\nHost: a\r\nif-modified-since: x\r\nRange: bytes=0-1\r\nAccept-Encoding: gzip\r\n\r\n", reply: hello, returns: edited + "HELLO"},
		{
			name: "the client has it", send: "GET / HTTP/1.1\r\nIf-None-Match: \"x\", W/" + tagOfHello + "\r\nHost: a\r\n\r\n", reply: hello,
			returns: "HTTP/1.1 304 Not Modified\r\nContent-Type: t\r\netag: " + tagOfHello + "\r\nVary: Accept\r\nCache-Control: max-age=180\r\n" + open + "\r\n",
		},
		{
			name: "chunked", send: ask + "\r\n",
			reply:   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: t\r\nAccept-Ranges: bytes\r\nContent-MD5: x\r\nDigest: x\r\nContent-Digest: x\r\nRepr-Digest: x\r\nTrailer: A\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
			returns: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: t\r\n" + open + "ETag: " + tagOfHello + "\r\n\r\nHELLO",
		},
		{
			name: "close-delimited", send: ask + "\r\n", closes: true,
			reply:   "HTTP/1.1 200 OK\r\nContent-Type: t\r\n\r\nhello",
			returns: "HTTP/1.1 200 OK\r\nContent-Type: t\r\n" + open + "Content-Length: 5\r\nETag: " + tagOfHello + "\r\n\r\nHELLO",
		},
		{
			name: "the client has anything", send: "GET / HTTP/1.1\r\nIf-None-Match: *\r\nHost: a\r\nIf-Match: x\r\nif-unmodified-since: x\r\nIF-RANGE: x\r\n\r\n", reply: hello,
			returns: "HTTP/1.1 304 Not Modified\r\nContent-Type: t\r\netag: " + tagOfHello + "\r\nVary: Accept\r\nCache-Control: max-age=180\r\n" + open + "\r\n",
		},
		{
			name: "the client has part of the tag", send: "GET / HTTP/1.1\r\nIf-None-Match: " + tagOfHello[:10] + ", W/, W" + tagOfHello + "\r\nHost: a\r\n\r\n",
			reply: hello, returns: edited + "HELLO",
		},
		{
			name: "as large as may be", send: ask + "\r\n",
			reply:   "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: t\r\nContent-Encoding: identity\r\nETag: 1\r\nETag: 2\r\n\r\n" + long[1:],
			returns: "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: t\r\nContent-Encoding: identity\r\nETag: " + tagOfHundred + "\r\n" + open + "\r\n" + strings.ToUpper(long[1:]),
		},
		{
			name: "as large as may be, chunked", send: ask + "\r\n",
			reply:   "HTTP/1.1 200 OK\r\nContent-Type: t\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + long[1:] + "\r\n0\r\n\r\n",
			returns: "HTTP/1.1 200 OK\r\nContent-Type: t\r\nContent-Length: 100\r\n" + open + "ETag: " + tagOfHundred + "\r\n\r\n" + strings.ToUpper(long[1:]),
		},
		same("declined", "HTTP/1.1 200 OK\r\nContent-Type: t\r\nETag: \"up\"\r\nContent-Length: 2\r\n\r\n-a"),
		same("declined by header", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"),
		same("not 200", "HTTP/1.1 401 No\r\nContent-Type: t\r\nContent-Length: 2\r\n\r\nab"),
		same("coded", "HTTP/1.1 200 OK\r\nContent-Type: t\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab"),
		same("too large", "HTTP/1.1 200 OK\r\nContent-Type: t\r\nContent-Length: 101\r\n\r\n"+long),
		same("too large, chunked", "HTTP/1.1 200 OK\r\nContent-Type: t\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n"+long+"\r\n0\r\nA: 1\r\n\r\n"),
		{
			name: "declined HEAD", send: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", reply: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
			returns: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
		},
	} {
		t.Run(w.name, func(t *testing.T) { t.Parallel(); w.runEdited(t) })
	}
}

// same is a reply that passes untouched.
func same(name, reply string) wire {
	return wire{name: name, send: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", reply: reply, returns: reply}
}

func (w wire) runEdited(t *testing.T) {
	t.Helper()
	const want = "GET / HTTP/1.1\r\nHost: a\r\n" + added + "Accept-Encoding: identity\r\n\r\n"
	l := serveScript(t, "tcp", func(c net.Conn, n int) {
		defer c.Close()
		if b, same := readN(c, want); n == 0 && !same {
			t.Errorf("upstream got %q", b)
		}
		io.WriteString(c, w.reply)
		if !w.closes {
			io.Copy(io.Discard, c)
		}
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, shout)
	c := dial(t, g.address)
	io.WriteString(c, w.send)
	if b, same := readN(c, w.returns); !same {
		t.Fatalf("client got %q\nwant       %q", b, w.returns)
	}
	c.(*net.TCPConn).CloseWrite()
	if !atEnd(c) {
		t.Error("the client got more than there was")
	}
}

// TestLargeDocumentsKeepTheirHead: the head outlives the buffer that it came in.
func TestLargeDocumentsKeepTheirHead(t *testing.T) {
	t.Parallel()
	const n = 100_000
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		io.WriteString(c, "HTTP/1.1 200 Fine\r\nA: 1\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", n))
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, func(u *forward.Upstream) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			u.PassEdited(ctx, forward.Edit{Document: func(r forward.Reply) ([]byte, bool) { return r.Body[:2], len(r.Body) == n }})
		}
	})
	c := dial(t, g.address)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	want := "HTTP/1.1 200 Fine\r\nA: 1\r\nContent-Length: 2\r\nETag: \""
	if b, _ := readHead(c); !strings.HasPrefix(b, want) || strings.Contains(b, "Access-Control") {
		t.Errorf("got %q", b)
	}
}

func TestCutDocumentIsNotEdited(t *testing.T) {
	t.Parallel()
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: t\r\nContent-Length: 10\r\n\r\nhell")
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, shout)
	c := dial(t, g.address)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if b, _ := readHead(c); !strings.HasPrefix(b, "HTTP/1.1 502 ") {
		t.Errorf("got %q", b)
	}
}

// TestCutReplyThatIsNotEdited: once a reply has begun it breaks off like any other.
func TestCutReplyThatIsNotEdited(t *testing.T) {
	t.Parallel()
	reply := "HTTP/1.1 200 OK\r\nContent-Type: t\r\nContent-Length: 300\r\n\r\n" + strings.Repeat("x", 200)
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		io.WriteString(c, reply)
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, shout)
	c := dial(t, g.address)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if b, err := io.ReadAll(c); string(b) != reply || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v", b, err)
	}
}

// Own answers go through the same connection loop.
func TestOwnAnswers(t *testing.T) {
	t.Parallel()
	l := serveScript(t, "tcp", func(c net.Conn, _ int) { c.Close() })
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, func(*forward.Upstream) fasthttp.RequestHandler { return own })
	for _, w := range []struct{ name, send, status, has string }{
		{"body", "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", "200", "Content-Length: 5\r\n"},
		{"HEAD", "HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n", "200", "Content-Length: 5\r\n"},
		{"body read", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "200", "Content-Length: 3\r\n"},
		{"chunked body read", "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "200", "Content-Length: 3\r\n"},
		{"a body that does not wait", "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", "200", "Content-Length: 3\r\n"},
		{"body not read", "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "200", "Content-Length: 5\r\n"},
		{"raw target", "GET //t/../x?a HTTP/1.1\r\nHost: a\r\n\r\n", "200", "X-Target: //t/../x?a\r\n"},
		{"client", "GET /hello HTTP/1.1\r\nHost: a\r\n\r\n", "200", "X-Client: 127.0.0.1\r\n"},
		{"large body not read", "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\nabc", "200", "Connection: close\r\n"},
		{"panic", "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n", "500", "Connection: close\r\n"},
	} {
		c := dial(t, g.address)
		io.WriteString(c, w.send)
		b, _ := readHead(c)
		if !strings.HasPrefix(b, "HTTP/1.1 "+w.status+" ") || !strings.Contains(b, w.has) {
			t.Errorf("%s: got %q", w.name, b)
		}
		if strings.Contains(b, "Server:") || strings.Contains(b, "Connection: close") != (strings.Contains(w.name, "large") || w.name == "panic") {
			t.Errorf("%s: unexpected header in %q", w.name, b)
		}
		if w.name != "HEAD" {
			continue
		}
		io.WriteString(c, next)
		if b, _ := readHead(c); !strings.HasPrefix(b, "HTTP/1.1 200 ") {
			t.Errorf("behind a HEAD: got %q", b)
		}
	}
}

// TestUnreadBodies: a connection goes on behind a body that nobody wanted if that is small and certain to come; else it ends in
// order, behind the answer.
func TestUnreadBodies(t *testing.T) {
	t.Parallel()
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: "http://127.0.0.1:1"}}, func(*forward.Upstream) fasthttp.RequestHandler { return own })
	const post = "POST /hello HTTP/1.1\r\nHost: a\r\n"
	chunks := strings.Repeat("4000\r\n"+strings.Repeat("x", 0x4000)+"\r\n", 16)
	for _, w := range []struct {
		name, head, body string
		says, goes       bool // that it ends; on
	}{
		{"length", "Content-Length: 5\r\n\r\n", "hello", false, true},
		{"largest length", "Content-Length: 262144\r\n\r\n", strings.Repeat("x", 256<<10), false, true},
		{"larger length", "Content-Length: 262145\r\n\r\n", "x", true, false},
		{"chunks", "Transfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", false, true},
		{"most chunks", "Transfer-Encoding: chunked\r\n\r\n", chunks + "0\r\n\r\n", false, true},
		{"more chunks", "Transfer-Encoding: chunked\r\n\r\n", chunks + "1\r\nx\r\n", false, false},
		{"bad chunks", "Transfer-Encoding: chunked\r\n\r\n", "x\r\n", false, false},
		{"a body that may not come", "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", "", true, false},
	} {
		c := dial(t, g.address)
		io.WriteString(c, post+w.head)
		answer := func() (string, bool) {
			b, _ := readHead(c)
			_, same := readN(c, "hello")
			return b, same
		}
		if b, same := answer(); !same || strings.Contains(b, "Connection: close") != w.says {
			t.Errorf("%s: got %q", w.name, b)
		}
		io.WriteString(c, w.body)
		if w.goes {
			io.WriteString(c, next)
			if b, same := answer(); !same {
				t.Errorf("%s: the next got %q", w.name, b)
			}
			continue
		}
		if !atEnd(c) {
			t.Errorf("%s: it does not end in order", w.name)
		}
	}
}

// TestOldClientsOfOwnAnswers: they keep their connection if they ask for it.
func TestOldClientsOfOwnAnswers(t *testing.T) {
	t.Parallel()
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: "http://127.0.0.1:1"}}, func(*forward.Upstream) fasthttp.RequestHandler { return own })
	c := dial(t, g.address)
	for range 2 {
		io.WriteString(c, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		b, _ := readHead(c)
		if _, same := readN(c, "hello"); !same || !strings.Contains(b, "\r\nConnection: keep-alive\r\n") {
			t.Errorf("got %q", b)
		}
	}
}

// TestOldClientsAreToldNothing: HTTP/1.0 knows no 100 Continue, even if asked for it.
func TestOldClientsAreToldNothing(t *testing.T) {
	t.Parallel()
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: "http://127.0.0.1:1"}}, func(*forward.Upstream) fasthttp.RequestHandler { return own })
	c := dial(t, g.address)
	io.WriteString(c, "POST /echo HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	c.(*net.TCPConn).CloseWrite()
	if b, _ := readHead(c); !strings.HasPrefix(b, "HTTP/1.1 200 ") {
		t.Errorf("got %q", b)
	}
}

func own(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set("X-Target", string(ctx.Request.Header.RequestURI()))
	ctx.Response.Header.Set("X-Client", forward.ClientAddr(ctx).String())
	switch string(ctx.Path()) {
	case "/panic":
		panic("as asked")
	case "/echo":
		b, _ := io.ReadAll(ctx.RequestBodyStream())
		ctx.Response.Header.Set("X-Len", strconv.Itoa(len(b)))
		ctx.SetBody(b)
	default:
		ctx.SetBodyString("hello")
	}
}
