package forward_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/relay/forward"
)

// liveServer answers every request with a live reply that run writes.
func liveServer(t *testing.T, o forward.ServerOptions, run func(*forward.Live)) (address string, s *forward.Server) {
	t.Helper()
	o.Handler = func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("text/event-stream")
		forward.GoLive(ctx, run)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = forward.NewServer(o)
	done := make(chan error, 1)
	go func() { done <- s.Serve(t.Context(), l) }()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), s
}

func dialLive(t *testing.T, address, request string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestALiveReplyIsWhole(t *testing.T) {
	large := bytes.Repeat([]byte("x"), 100_000)
	address, _ := liveServer(t, forward.ServerOptions{}, func(l *forward.Live) {
		_ = l.Write([]byte("a"))
		_ = l.Write(nil)
		_ = l.Write(large)
	})
	for _, version := range []string{"1.0", "1.1"} {
		c := dialLive(t, address, "GET / HTTP/"+version+"\r\nHost: a\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || len(body) != 100_001 || body[0] != 'a' || !res.Close || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("HTTP/%s: %d bytes, %v, %+v", version, len(body), err, res)
		}
		if chunked := len(res.TransferEncoding) > 0; chunked != (version == "1.1") {
			t.Errorf("HTTP/%s: %v", version, res.TransferEncoding)
		}
	}
	c := dialLive(t, address, "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	answer, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") || !strings.HasSuffix(string(answer), "\r\n\r\n") {
		t.Errorf("HEAD: %q, %v", answer, err)
	}
}

func TestALiveReplyKnowsThatItsClientLeft(t *testing.T) {
	left := make(chan struct{})
	address, _ := liveServer(t, forward.ServerOptions{}, func(l *forward.Live) {
		_ = l.Write([]byte("hello"))
		<-l.Gone()
		close(left)
	})
	c := dialLive(t, address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"+next)
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	select {
	case <-left:
	case <-time.After(patience):
		t.Error("it was not told")
	}
}

// TestASlowReaderIsDropped: the writer of a live reply learns in WriteTimeout that nobody reads.
func TestASlowReaderIsDropped(t *testing.T) {
	registry := prometheus.NewRegistry()
	dropped := make(chan error, 1)
	address, _ := liveServer(t, forward.ServerOptions{
		Limits: forward.Limits{WriteTimeout: 100 * time.Millisecond}, Metrics: registry,
	}, func(l *forward.Live) {
		var err error
		for part := make([]byte, 64<<10); err == nil; {
			err = l.Write(part)
		}
		if again := l.Write([]byte("x")); again == nil {
			err = nil // a lost client must stay lost
		}
		dropped <- err
	})
	dialLive(t, address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	select {
	case err := <-dropped:
		if err == nil {
			t.Error("a later write was taken")
		}
	case <-time.After(patience):
		t.Fatal("the writer is still waiting")
	}
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetMetric()[0].GetLabel()[0].GetValue() != "write_timeout" {
		t.Errorf("counted %v, %v", families, err)
	}
}

func TestALiveReplyEndsBeforeShutdownDoes(t *testing.T) {
	begun := make(chan struct{})
	address, s := liveServer(t, forward.ServerOptions{}, func(l *forward.Live) {
		_ = l.Write([]byte("hello"))
		close(begun)
		<-l.Closing()
		_ = l.Write([]byte(" and goodbye"))
	})
	c := dialLive(t, address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-begun
	go func() { _ = s.Shutdown(t.Context()) }()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if string(body) != "hello and goodbye" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

func TestALiveReplyThatPanicsIsNotWhole(t *testing.T) {
	address, _ := liveServer(t, forward.ServerOptions{}, func(l *forward.Live) {
		_ = l.Write([]byte("hello"))
		panic("as a test")
	})
	c := dialLive(t, address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	all, _ := io.ReadAll(c)
	if bytes.HasSuffix(all, []byte("0\r\n\r\n")) {
		t.Errorf("%q ends as if it were whole", all)
	}
}

// silentStream is an upstream whose event streams say one thing and go on; left gets one for each whose reader has closed.
func silentStream(t *testing.T) (l net.Listener, left chan struct{}) {
	t.Helper()
	left = make(chan struct{}, 16)
	return serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		_ = c.SetDeadline(time.Time{})
		if _, err := readHead(c); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n:)\n\n")
		_, _ = io.Copy(io.Discard, c)
		left <- struct{}{}
	}), left
}

// TestAnIdleStreamIsLeft: clients that close or reset their connections while the upstream says nothing are noticed, whatever else
// they had sent, and are no fault of the upstream's; one that stays is left alone.
func TestAnIdleStreamIsLeft(t *testing.T) {
	t.Parallel()
	l, left := silentStream(t)
	plain := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	secure := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	begin := func(c net.Conn, more string) net.Conn {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"+more)
		if head, err := readHead(c); err != nil || !strings.HasPrefix(head, "HTTP/1.1 200") {
			t.Fatalf("%q %v", head, err)
		}
		return c
	}
	stays := begin(dial(t, plain.address), "")
	for _, more := range []string{"", next} {
		_ = begin(dial(t, plain.address), more).Close()
		_ = begin(dial(t, plain.address), more).(*net.TCPConn).CloseWrite()
		reset := begin(dial(t, plain.address), more)
		_ = reset.(*net.TCPConn).SetLinger(0)
		_ = reset.Close()
		_ = begin(tls.Client(dial(t, secure.address), anyone("http/1.1")), more).Close()
	}
	over2, err := client2(t).Get("https://" + secure.address + "/")
	if err != nil {
		t.Fatal(err)
	}
	_ = over2.Body.Close()
	for n := range 9 {
		select {
		case <-left:
		case <-time.After(patience):
			t.Fatalf("%d of 9 are noticed", n)
		}
	}
	for _, g := range []*gateway{plain, secure} {
		if n := metric(t, g, "sealgate_upstream_errors_total", "truncated"); n != 0 {
			t.Errorf("%v are called the upstream's fault", n)
		}
	}
	if b, same := readN(stays, ":)\n\n"); !same || len(left) > 0 {
		t.Errorf("who stays reads %q", b)
	}
}

// TestAnIdleStreamDoesNotHoldAStop: one whose client has left does not count as being served.
func TestAnIdleStreamDoesNotHoldAStop(t *testing.T) {
	t.Parallel()
	l, _ := silentStream(t)
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, err := readHead(c); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := g.server.Shutdown(ctx); err != nil {
		t.Errorf("the stop: %v", err)
	}
}
