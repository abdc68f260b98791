package forward_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/sealgate/sealgate/relay/edge"
	"github.com/sealgate/sealgate/relay/forward"
)

const addedSecure = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 127.0.0.1\r\n"

// testCertificate is good for one test.
type testCertificate struct{ cert *tls.Certificate }

func (c testCertificate) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.cert, nil
}
func (testCertificate) Protocols() []string       { return nil }
func (testCertificate) Run(context.Context) error { return nil }

func newCertificate(t testing.TB) testCertificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return testCertificate{&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}}
}

// openSecure is open with TLS in front.
func openSecure(t testing.TB, s setup, handler func(*forward.Upstream) fasthttp.RequestHandler) *gateway {
	t.Helper()
	c := newCertificate(t)
	s.wrap = func(l net.Listener) net.Listener {
		return edge.NewListener(l, edge.ListenerOptions{Config: edge.Config(c), Timeout: time.Second})
	}
	return open(t, s, handler)
}

func anyone(protocols ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}
}

func client2(t testing.TB) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: anyone(), ForceAttemptHTTP2: true, Protocols: new(http.Protocols), DisableCompression: true}
	tr.Protocols.SetHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// raw2 is an HTTP/2 client that sends what it is told.
type raw2 struct {
	t testing.TB
	net.Conn
	*http2.Framer
	block bytes.Buffer
	enc   *hpack.Encoder
}

func dial2(t testing.TB, address string) *raw2 {
	t.Helper()
	c, err := tls.Dial("tcp", address, anyone("h2"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	r := &raw2{t: t, Conn: c, Framer: http2.NewFramer(c, bufio.NewReader(c))}
	r.enc = hpack.NewEncoder(&r.block)
	r.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	r.AllowIllegalWrites = true
	io.WriteString(c, http2.ClientPreface)
	r.WriteSettings()
	return r
}

func (r *raw2) fields(pairs ...string) []byte {
	r.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		r.enc.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return bytes.Clone(r.block.Bytes())
}

func (r *raw2) ask(id uint32, end bool, pairs ...string) {
	r.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: r.fields(pairs...), EndHeaders: true, EndStream: end})
}

// outcome is the status of stream id, or how it or the connection ended.
func (r *raw2) outcome(id uint32) string {
	for {
		f, err := r.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if f.StreamID == id {
				return f.PseudoValue("status")
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return f.ErrCode.String()
			}
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				return "GOAWAY " + f.ErrCode.String()
			}
		}
	}
}

// recorder answers every request with reply and keeps the heads and bodies it got.
type recorder struct {
	mu  sync.Mutex
	got []string
	n   atomic.Int64
}

// broken says how a body ended before its time: its connection closed, or something that must not happen.
func broken(err error) string {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return "(cut)"
	}
	return "(" + err.Error() + ")"
}

func (k *recorder) script(reply string) func(net.Conn, int) {
	return func(c net.Conn, _ int) {
		defer c.Close()
		br := bufio.NewReader(c)
		for {
			head, err := headOf(br)
			if err != nil {
				return
			}
			k.n.Add(1)
			body := ""
			switch {
			case strings.Contains(head, "transfer-encoding: chunked"):
				for !strings.HasSuffix(body, "\r\n\r\n") {
					line, err := br.ReadString('\n')
					if err != nil {
						body += broken(err)
						break
					}
					body += line
				}
			case strings.Contains(head, "content-length: "):
				var n int
				_, after, _ := strings.Cut(head, "content-length: ")
				fmt.Sscan(after, &n)
				b := make([]byte, n)
				if _, err := io.ReadFull(br, b); err != nil {
					b = []byte(broken(err))
				}
				body = string(b)
			}
			k.mu.Lock()
			k.got = append(k.got, head+body)
			k.mu.Unlock()
			io.WriteString(c, reply)
		}
	}
}

func (k *recorder) last() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.got) == 0 {
		return ""
	}
	return k.got[len(k.got)-1]
}

func headOf(br *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := br.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String(), err
		}
	}
}

// TestHTTP2Requests compares what reaches the instance byte for byte.
func TestHTTP2Requests(t *testing.T) {
	var k recorder
	up := serveScript(t, "tcp", k.script("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up), HideCookie: "secret"}}, nil)
	get := []string{":method", "GET", ":scheme", "https", ":authority", "social.example", ":path"}
	for name, c := range map[string]struct {
		fields []string
		body   string
		want   string
	}{
		"raw target": {
			append(get, "/a//b/../%2e%7e?q=%20&&x=\xc3\xa4", "accept", "*/*"), "",
			"GET /a//b/../%2e%7e?q=%20&&x=\xc3\xa4 HTTP/1.1\r\nhost: social.example\r\naccept: */*\r\n" + addedSecure + "\r\n",
		},
		"duplicates and crumbs": {
			append(get, "/", "x-b", "1", "x-a", "2", "x-b", "3", "cookie", "a=b", "cookie", "secret=1", "cookie", "c=d"), "",
			"GET / HTTP/1.1\r\nhost: social.example\r\ncookie: a=b; c=d\r\nx-a: 2\r\nx-b: 1\r\nx-b: 3\r\n" + addedSecure + "\r\n",
		},
		"spoofed": {
			append(get, "/", "x-forwarded-for", "9.9.9.9", "x-forwarded-proto", "http", "x_forwarded_for", "8.8.8.8"), "",
			"GET / HTTP/1.1\r\nhost: social.example\r\n" + addedSecure + "\r\n",
		},
		"host alone": {
			[]string{":method", "GET", ":scheme", "https", ":path", "/", "host", "social.example"},
			"",
			"GET / HTTP/1.1\r\nhost: social.example\r\n" + addedSecure + "\r\n",
		},
		"length": {
			[]string{":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/", "content-length", "5"},
			"hello",
			"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n" + addedSecure + "\r\nhello",
		},
		"no length": {
			[]string{":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/"},
			"hello",
			"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n" + addedSecure + "\r\n5\r\nhello\r\n0\r\n\r\n",
		},
		"asterisk": {
			[]string{":method", "OPTIONS", ":scheme", "https", ":authority", "a", ":path", "*"},
			"",
			"OPTIONS * HTTP/1.1\r\nhost: a\r\n" + addedSecure + "\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := dial2(t, g.address)
			r.ask(1, c.body == "", c.fields...)
			if c.body != "" {
				r.WriteData(1, true, []byte(c.body))
			}
			if got := r.outcome(1); got != "200" {
				t.Fatalf("answered %s", got)
			}
			if got := k.last(); got != c.want {
				t.Errorf("the instance got\n%q, not\n%q", got, c.want)
			}
		})
	}
}

// TestHTTP2Refused: what HTTP/1.1 could read differently never reaches the instance.
func TestHTTP2Refused(t *testing.T) {
	var k recorder
	up := serveScript(t, "tcp", k.script("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}}, nil)
	request := func(changes ...string) []string {
		f := []string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/"}
		for i := 0; i < len(changes); i += 2 {
			at := -1
			for j := 0; j < len(f); j += 2 {
				if f[j] == changes[i] && strings.HasPrefix(f[j], ":") {
					at = j
				}
			}
			if at >= 0 {
				f[at+1] = changes[i+1]
			} else {
				f = append(f, changes[i], changes[i+1])
			}
		}
		return f
	}
	for name, fields := range map[string][]string{
		"line feed in path":      request(":path", "/\r\nX-Evil: 1"),
		"space in path":          request(":path", "/a b"),
		"space in method":        request(":method", "GET /evil HTTP/1.1"),
		"line feed in method":    request(":method", "GET\r\n"),
		"line feed in authority": request(":authority", "a\r\nx: y"),
		"space in authority":     request(":authority", "a b"),
		"path without slash":     request(":path", "evil"),
		"absolute path":          request(":path", "http://evil/"),
		"empty path":             request(":path", ""),
		"no authority, no host":  {":method", "GET", ":scheme", "https", ":path", "/"},
		"authority unlike host":  request("host", "b"),
		"two hosts":              request("host", "a", "host", "a"),
		"user in authority":      request(":authority", "u@a"),
		"connection":             request("connection", "close"),
		"keep-alive":             request("keep-alive", "1"),
		"proxy-connection":       request("proxy-connection", "close"),
		"upgrade":                request("upgrade", "websocket"),
		"transfer-encoding":      request("transfer-encoding", "chunked"),
		"te":                     request("te", "gzip"),
		"upper case name":        request("X-Upper", "1"),
		"colon in name":          request("a:b", "1"),
		"space in name":          request("a b", "1"),
		"line feed in value":     request("a", "b\r\nc: d"),
		"null in value":          request("a", "b\x00"),
		"length without body":    request(":method", "POST", "content-length", "5"),
		"two lengths":            request(":method", "POST", "content-length", "0", "content-length", "5"),
		"underscored length":     request("content_length", "5"),
		"pseudo after regular":   {":method", "GET", ":scheme", "https", "a", "b", ":authority", "a", ":path", "/"},
		"unknown pseudo":         request(":evil", "1"),
		"two paths":              {":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/", ":path", "/b"},
		"connect":                {":method", "CONNECT", ":authority", "a:80"},
		"extended connect":       {":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a", ":path", "/"},
		"scheme":                 request(":scheme", "ftp"),
	} {
		t.Run(name, func(t *testing.T) {
			r := dial2(t, g.address)
			r.ask(1, true, fields...)
			switch got := r.outcome(1); got {
			case "400", "PROTOCOL_ERROR", "GOAWAY PROTOCOL_ERROR", "closed":
			default:
				t.Errorf("answered %s", got)
			}
		})
	}
	if n := k.n.Load(); n != 0 {
		t.Errorf("the instance got %d requests: %q", n, k.got)
	}
	if metric(t, g, "sealgate_http2_errors_total", "stream_PROTOCOL_ERROR_bad_path_method") == 0 {
		t.Error("none is counted")
	}
}

// TestHTTP2Lengths: a body unlike its Content-Length is not passed on as whole.
func TestHTTP2Lengths(t *testing.T) {
	var k recorder
	up := serveScript(t, "tcp", k.script("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}}, nil)
	for name, body := range map[string]string{"shorter": "hell", "longer": "hello!"} {
		r := dial2(t, g.address)
		r.ask(1, false, ":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/", "content-length", "5")
		r.WriteData(1, true, []byte(body))
		if got := r.outcome(1); got != "PROTOCOL_ERROR" && got != "400" {
			t.Errorf("%s: answered %s", name, got)
		}
		if got := k.last(); got != "" && !strings.HasSuffix(got, "(cut)") {
			t.Errorf("%s: the instance got %q", name, got)
		}
	}
}

// TestHTTP2Replies compares what reaches the client.
func TestHTTP2Replies(t *testing.T) {
	for name, c := range map[string]struct {
		method, reply string
		status        int
		header        http.Header
		body          string
		trailer       http.Header
	}{
		"as it is": {
			"GET", "HTTP/1.1 404 Gone Fishing\r\nX-Two: a\r\nx-two: b\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 1\r\nTE: trailers\r\nUpgrade: h2c\r\nContent-Length: 6\r\n\r\n<html>",
			404,
			http.Header{"X-Two": {"a", "b"}, "Content-Length": {"6"}},
			"<html>", nil,
		},
		"chunked, with trailers": {
			"GET", "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n",
			200,
			http.Header{"Date": {"Mon, 01 Jan 2001 00:00:00 GMT"}},
			"hello",
			http.Header{"X-Sum": {"1"}, "X-Other": {"2"}},
		},
		"until close": {"GET", "HTTP/1.1 200 OK\r\n\r\nhello", 200, http.Header{}, "hello", nil},
		"HEAD":        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", 200, http.Header{"Content-Length": {"99"}}, "", nil},
		"204":         {"GET", "HTTP/1.1 204 No Content\r\nX-A: b\r\nContent-Length: 3\r\n\r\nabc", 204, http.Header{"X-A": {"b"}}, "", nil},
		"304":         {"GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 7\r\n\r\n", 304, http.Header{"Etag": {`"x"`}, "Content-Length": {"7"}}, "", nil},
		"empty":       {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, http.Header{"Content-Length": {"0"}}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			up := serveScript(t, "tcp", func(conn net.Conn, _ int) {
				defer conn.Close()
				headOf(bufio.NewReader(conn))
				io.WriteString(conn, c.reply)
			})
			g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}}, nil)
			req, _ := http.NewRequestWithContext(t.Context(), c.method, "https://"+g.address+"/", nil)
			resp, err := client2(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if c.status == 304 { // this client wants a body because of the length, RFC 9113 §8.1.1 does not
				err = nil
			}
			if err != nil || string(body) != c.body || resp.StatusCode != c.status || resp.ProtoMajor != 2 {
				t.Errorf("HTTP/%d %d %q %v", resp.ProtoMajor, resp.StatusCode, body, err)
			}
			if fmt.Sprint(resp.Header) != fmt.Sprint(c.header) {
				t.Errorf("header %v, not %v", resp.Header, c.header)
			}
			if c.trailer != nil && fmt.Sprint(resp.Trailer) != fmt.Sprint(c.trailer) {
				t.Errorf("trailer %v, not %v", resp.Trailer, c.trailer)
			}
		})
	}
}

// TestHTTP2OutlivesTheInstancesConnection: that the instance closes its connection is nothing to the client's.
func TestHTTP2OutlivesTheInstancesConnection(t *testing.T) {
	var k recorder
	up := serveScript(t, "tcp", k.script("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"))
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}}, nil)
	r := dial2(t, g.address)
	for id := uint32(1); id < 6; id += 2 {
		r.ask(id, true, ":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/")
		if got := r.outcome(id); got != "200" {
			t.Fatalf("request %d: answered %s", id, got)
		}
	}
}

// TestHTTP2Interim: 103 arrives before the reply; 100 is for the library to say.
func TestHTTP2Interim(t *testing.T) {
	up := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		headOf(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nX-B: c\r\nContent-Length: 2\r\n\r\nok")
	})
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}}, nil)
	var hints []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, h))
		return nil
	}})
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+g.address+"/", nil)
	resp, err := client2(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if len(hints) != 1 || !strings.HasPrefix(hints[0], "103 map[Link:[</a>]") || resp.Header.Get("Link") != "" || resp.Header.Get("X-B") != "c" {
		t.Errorf("hints %q, header %v", hints, resp.Header)
	}
}

// TestHTTP2Truncated: a reply that was cut is an error for the client, however it was framed.
func TestHTTP2Truncated(t *testing.T) {
	for _, reply := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	} {
		up := serveScript(t, "tcp", func(c net.Conn, _ int) {
			defer c.Close()
			headOf(bufio.NewReader(c))
			io.WriteString(c, reply)
		})
		g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}}, nil)
		resp, err := client2(t).Get("https://" + g.address + "/")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil || string(b) != "hello" {
			t.Errorf("%q: %q and %v", reply, b, err)
		}
		if metric(t, g, "sealgate_upstream_errors_total", "truncated") != 1 {
			t.Errorf("%q: not counted", reply)
		}
	}
}

// TestHTTP2Streams: bytes go both ways while both bodies are open, and trailers end the request.
func TestHTTP2Streams(t *testing.T) {
	tail := make(chan string, 1)
	up := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		br := bufio.NewReader(c)
		if head, _ := headOf(br); !strings.Contains(head, "\r\ntransfer-encoding: chunked\r\ntrailer: X-Forwarded-For, X-Sum\r\n") {
			t.Errorf("the instance got %q", head)
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range 3 {
			size, _ := br.ReadString('\n')
			data, _ := br.ReadString('\n')
			io.WriteString(c, size+data)
		}
		rest, _ := headOf(br)
		tail <- rest
		io.WriteString(c, "0\r\n\r\n")
	})
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}}, nil)
	pr, pw := io.Pipe()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+g.address+"/", pr)
	req.Trailer = http.Header{"X-Sum": nil, "X-Forwarded-For": nil}
	go func() { io.WriteString(pw, "0") }()
	resp, err := client2(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b := make([]byte, 1)
	for i := range 3 {
		if _, err := io.ReadFull(resp.Body, b); err != nil || b[0] != byte('0'+i) {
			t.Fatalf("echo %d: %q %v", i, b, err)
		}
		if i < 2 {
			fmt.Fprint(pw, i+1)
		}
	}
	req.Trailer.Set("X-Sum", "6")
	req.Trailer.Set("X-Forwarded-For", "9.9.9.9")
	pw.Close()
	if got := <-tail; got != "0\r\nx-sum: 6\r\n\r\n" {
		t.Errorf("the request ended with %q", got)
	}
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("the reply ended with %q %v", rest, err)
	}
}

// TestHTTP2EarlyReply: a 413 reaches the client that still sends.
func TestHTTP2EarlyReply(t *testing.T) {
	up := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		headOf(bufio.NewReader(c))
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
		io.Copy(io.Discard, io.LimitReader(c, 1<<20))
	})
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}}, nil)
	pr, pw := io.Pipe()
	defer pw.Close()
	go func() { pw.Write(make([]byte, 1000)) }()
	resp, err := client2(t).Post("https://"+g.address+"/", "", pr)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 413 || string(b) != "big" || err != nil {
		t.Errorf("%d %q %v", resp.StatusCode, b, err)
	}
}

// TestHTTP2Own: the gateway's own answers, streamed and not, and its live ones.
func TestHTTP2Own(t *testing.T) {
	left := make(chan struct{})
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: "http://127.0.0.1:1"}}, func(u *forward.Upstream) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			switch string(ctx.Path()) {
			case "/body":
				b, err := io.ReadAll(ctx.RequestBodyStream())
				fmt.Fprintf(ctx, "%s %v %v", b, err, forward.ClientAddr(ctx))
				ctx.Response.Header.Set("Cache-Control", "no-store")
			case "/panic":
				panic("x")
			case "/live":
				ctx.SetContentType("text/event-stream")
				forward.GoLive(ctx, func(l *forward.Live) {
					defer close(left)
					l.Write([]byte("data: 1\n\n"))
					<-l.Gone()
				})
			default:
				u.Pass(ctx)
			}
		}
	})
	c := client2(t)
	for path, want := range map[string]string{
		"/body":  "200  hello <nil> 127.0.0.1",
		"/panic": "500 application/problem+json",
		"/dead":  "502 application/problem+json",
	} {
		resp, err := c.Post("https://"+g.address+path, "", io.MultiReader(strings.NewReader("hello")))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		got := fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Content-Type"), " ", string(b))
		if !strings.HasPrefix(got, want) || resp.ContentLength != int64(len(b)) {
			t.Errorf("%s: %q of %d bytes", path, got, resp.ContentLength)
		}
	}
	resp, err := c.Get("https://" + g.address + "/live")
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if line != "data: 1\n" || err != nil || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("live: %q %v %v", line, err, resp.Header)
	}
	resp.Body.Close()
	select {
	case <-left:
	case <-time.After(patience):
		t.Error("a live reply is not told that its client left")
	}
}

// TestHTTP2OwnEnds: a live reply is whole only if it comes to its end, and what has no body says nothing of its length.
func TestHTTP2OwnEnds(t *testing.T) {
	var lives atomic.Int64
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: "http://127.0.0.1:1"}}, func(*forward.Upstream) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			switch string(ctx.Path()) {
			case "/same":
				ctx.SetStatusCode(http.StatusNotModified)
			case "/none":
				ctx.SetStatusCode(http.StatusNoContent)
			case "/live":
				forward.GoLive(ctx, func(l *forward.Live) { lives.Add(1); l.Write([]byte("hello")) })
			case "/live/cut":
				forward.GoLive(ctx, func(l *forward.Live) { l.Write([]byte("hello")); panic("as a test") })
			}
		}
	})
	c := client2(t)
	for _, w := range []struct {
		method, path, body string
		whole              bool
	}{
		{"GET", "/live", "hello", true},
		{"HEAD", "/live", "", true},
		{"GET", "/live/cut", "hello", false},
		{"GET", "/same", "", true},
		{"GET", "/none", "", true},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), w.method, "https://"+g.address+w.path, nil)
		reply, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if string(b) != w.body || (err == nil) != w.whole || reply.Header.Get("Content-Length") != "" {
			t.Errorf("%s %s: %q, %v, %v", w.method, w.path, b, err, reply.Header)
		}
	}
	if lives.Load() != 1 {
		t.Errorf("%d wrote for one GET and one HEAD", lives.Load())
	}
}

// TestHTTP2PanicsAfterTheReply: who was told something is not told another thing.
func TestHTTP2PanicsAfterTheReply(t *testing.T) {
	_, up := okUpstream(t)
	logged := new(journal)
	g := openSecure(t, setup{
		upstream: forward.UpstreamOptions{URL: urlOf(up)}, server: forward.ServerOptions{Log: journalOf(logged)},
	}, func(u *forward.Upstream) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) { u.Pass(ctx); panic("as a test") }
	})
	if reply, err := client2(t).Get("https://" + g.address + "/"); err == nil {
		b, err := io.ReadAll(reply.Body)
		reply.Body.Close()
		if err == nil {
			t.Errorf("a whole reply: %q", b)
		}
	}
	if logged.count("handler panicked") != 1 {
		t.Error("not logged")
	}
}

// TestHTTP2Shutdown: what is under way ends well, and clients are told to go elsewhere.
func TestHTTP2Shutdown(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	up := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		headOf(bufio.NewReader(c))
		close(asked)
		<-answer
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
	})
	logged := new(journal)
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}, server: forward.ServerOptions{Log: journalOf(logged)}}, nil)
	r := dial2(t, g.address)
	r.ask(1, true, ":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/")
	<-asked
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() { ended <- g.server.Shutdown(ctx) }()
	for {
		f, err := r.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := f.(*http2.GoAwayFrame); ok {
			break
		}
	}
	select {
	case <-g.server.Drained():
		t.Error("drained with a request under way")
	default:
	}
	close(answer)
	if got := r.outcome(1); got != "200" {
		t.Errorf("answered %s", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	select {
	case <-g.server.Drained():
	default:
		t.Error("not drained")
	}
	if logged.has("http/2 stopped") {
		t.Error("the end is called a failure")
	}
}
