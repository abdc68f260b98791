package forward_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/sealgate/sealgate/relay/forward"
)

var plainGet = []string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/"}

// stillServes checks that others notice nothing.
func stillServes(t *testing.T, g *gateway) {
	t.Helper()
	r := dial2(t, g.address)
	r.ask(1, true, plainGet...)
	if got := r.outcome(1); got != "200" {
		t.Errorf("another client was answered %s", got)
	}
}

func okUpstream(t *testing.T) (*recorder, net.Listener) {
	t.Helper()
	k := &recorder{}
	return k, serveScript(t, "tcp", k.script("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
}

// TestHTTP2HeaderBombs: large heads, many lines, and a small block that decodes to a large head are refused.
func TestHTTP2HeaderBombs(t *testing.T) {
	k, up := okUpstream(t)
	g := openSecure(t, setup{
		upstream: forward.UpstreamOptions{URL: urlOf(up)},
		server:   forward.ServerOptions{Limits: forward.Limits{HeaderBytes: 8 << 10, HeaderFields: 64, TargetBytes: 1 << 10}},
	}, nil)
	many := append([]string(nil), plainGet...)
	for range 100 {
		many = append(many, "x", "y")
	}
	bomb := append([]string(nil), plainGet...)
	for range 3000 {
		bomb = append(bomb, "x", strings.Repeat("a", 2000)) // indexed after the first
	}
	for name, c := range map[string]struct {
		fields []string
		want   string
	}{
		"a line too long":   {append(plainGet[:8:8], "x", strings.Repeat("a", 9000)), "431 GOAWAY"},
		"a byte too many":   {append(plainGet[:8:8], "x", strings.Repeat("a", 8<<10+1-len("GET / HTTP/1.1\r\nhost: a\r\nx: \r\n\r\n"))), "431"},
		"too many lines":    {many, "431"},
		"a target too long": {[]string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/" + strings.Repeat("a", 2000)}, "414"},
		"hpack bomb":        {bomb, "431 closed GOAWAY"},
	} {
		r := dial2(t, g.address)
		r.ask(1, true, c.fields...)
		if got := r.outcome(1); !strings.Contains(c.want, strings.Fields(got)[0]) {
			t.Errorf("%s: answered %s", name, got)
		}
	}
	if n := k.n.Load(); n != 0 {
		t.Errorf("the instance got %d requests", n)
	}
	stillServes(t, g)
}

// TestHTTP2ContinuationFlood: a head that never ends ends the connection, after bounded bytes and memory.
func TestHTTP2ContinuationFlood(t *testing.T) {
	_, up := okUpstream(t)
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}}, nil)
	r := dial2(t, g.address)
	block := r.fields(append(plainGet[:8:8], "x", strings.Repeat("a", 1000))...)
	r.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block})
	more, sent := r.fields("x", strings.Repeat("~", 12000)), 0
	for sent < 64<<20 {
		if err := r.WriteContinuation(1, false, more); err != nil {
			break
		}
		sent += len(more)
	}
	t.Logf("the connection ended after %d KiB", sent>>10)
	if sent >= 64<<20 {
		t.Error("64 MiB of one head were taken")
	}
	stillServes(t, g)
}

// TestHTTP2RapidReset: resetting streams as fast as they open makes the instance work on no more requests than
// one connection may have, and ends the connection.
func TestHTTP2RapidReset(t *testing.T) {
	var now, most, all atomic.Int64
	release := make(chan struct{})
	up := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		if _, err := headOf(bufio.NewReader(c)); err != nil {
			return
		}
		all.Add(1)
		n := now.Add(1)
		for m := most.Load(); n > m; m = most.Load() {
			if most.CompareAndSwap(m, n) {
				break
			}
		}
		<-release
		now.Add(-1)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}}, nil)
	r := dial2(t, g.address)
	ended := make(chan string)
	go func() { ended <- r.outcome(0) }()
	resets := 0
	for id := uint32(1); resets < 20000; id += 2 {
		r.ask(id, true, plainGet...)
		if r.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break
		}
		resets++
	}
	if got := <-ended; !strings.Contains(got, "ENHANCE_YOUR_CALM") && got != "closed" {
		t.Errorf("the connection ended with %s", got)
	}
	close(release)
	t.Logf("%d resets, %d requests at the instance, %d at once", resets, all.Load(), most.Load())
	if most.Load() > 128 {
		t.Errorf("%d resets, %d requests at once", resets, most.Load())
	}
	stillServes(t, g)
}

// TestHTTP2TooManyStreams: more than 128 requests at once on one connection are refused.
func TestHTTP2TooManyStreams(t *testing.T) {
	release := make(chan struct{})
	var all atomic.Int64
	up := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		if _, err := headOf(bufio.NewReader(c)); err == nil {
			all.Add(1)
			<-release
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}}, nil)
	r := dial2(t, g.address)
	const last = 2*128 + 1
	for id := uint32(1); id <= last; id += 2 {
		r.ask(id, true, plainGet...)
	}
	got := r.outcome(last)
	close(release)
	if got != "REFUSED_STREAM" && got != "PROTOCOL_ERROR" {
		t.Errorf("stream 129 was answered %s", got)
	}
}

// TestHTTP2Slow: a body that does not come is 408 and a reply that is not taken ends its stream.
func TestHTTP2Slow(t *testing.T) {
	up := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		head, _ := headOf(bufio.NewReader(c))
		if strings.HasPrefix(head, "GET") {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
			for c.SetDeadline(time.Now().Add(patience)) == nil {
				if _, err := c.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}
		io.Copy(io.Discard, c)
	})
	g := openSecure(t, setup{
		upstream: forward.UpstreamOptions{URL: urlOf(up)},
		server:   forward.ServerOptions{Limits: forward.Limits{BodyTimeout: 200 * time.Millisecond, WriteTimeout: 200 * time.Millisecond}},
	}, nil)
	r := dial2(t, g.address)
	r.ask(1, false, ":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/")
	r.WriteData(1, false, []byte("a"))
	if got := r.outcome(1); got != "408" {
		t.Errorf("a slow body was answered %s", got)
	}
	r.ask(3, true, plainGet...)
	for {
		if got := r.outcome(3); got != "200" {
			if got != "INTERNAL_ERROR" && got != "closed" {
				t.Errorf("a reply not taken ended with %s", got)
			}
			break
		}
	}
	for _, limit := range []string{"body_timeout", "write_timeout"} {
		eventually(t, limit+" is counted", func() bool { return metric(t, g, "sealgate_limit_exceeded_total", limit) == 1 })
	}
}

// TestHTTP2BodiesThatSlowDownAreCut: a body that made progress once must go on making it; a byte now and then is none.
func TestHTTP2BodiesThatSlowDownAreCut(t *testing.T) {
	t.Parallel()
	up := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		io.Copy(io.Discard, c)
	})
	g := openSecure(t, setup{
		upstream: forward.UpstreamOptions{URL: urlOf(up)},
		server:   forward.ServerOptions{Limits: forward.Limits{BodyTimeout: 300 * time.Millisecond, MinProgress: 100}},
	}, nil)
	r := dial2(t, g.address)
	r.ask(1, false, ":method", "POST", ":scheme", "https", ":authority", "a", ":path", "/")
	r.WriteData(1, false, make([]byte, 200))
	answered := make(chan string, 1)
	go func() { answered <- r.outcome(1) }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.WriteData(1, false, []byte("x"))
		case got := <-answered:
			if got != "408" {
				t.Errorf("answered %s", got)
			}
			return
		}
	}
}

// TestHTTP2AnswersNotTaken: an answer of the gateway's own that is not taken ends its stream, too.
func TestHTTP2AnswersNotTaken(t *testing.T) {
	g := openSecure(t, setup{
		upstream: forward.UpstreamOptions{URL: "http://127.0.0.1:1"},
		server:   forward.ServerOptions{Limits: forward.Limits{WriteTimeout: 200 * time.Millisecond}},
	}, nil)
	r := dial2(t, g.address)
	r.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	for _, c := range []struct {
		id           uint32
		host, status string
	}{{1, "a", "502"}, {3, "", "400"}} {
		r.ask(c.id, true, ":method", "GET", ":scheme", "https", ":authority", c.host, ":path", "/")
		if got := r.outcome(c.id); got != c.status {
			t.Fatalf("the answer is %s, not %s", got, c.status)
		}
		if got := r.outcome(c.id); got != "INTERNAL_ERROR" {
			t.Errorf("%s ended with %s", c.status, got)
		}
	}
}

// TestHTTP2Memory: large bodies pass in constant memory, both ways.
func TestHTTP2Memory(t *testing.T) {
	const size = 128 << 20
	up := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute)) // as long as the client has: a busy machine under the race detector needs it
		br := bufio.NewReader(c)
		head, _ := headOf(br)
		if strings.HasPrefix(head, "PUT") {
			io.CopyN(io.Discard, br, size)
			io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
			return
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 134217728\r\n\r\n")
		io.CopyN(c, zeros{}, size)
	})
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}}, nil)
	c := client2(t)
	c.Timeout = time.Minute
	var peak uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapInuse)
			}
		}
	}()
	resp, err := c.Get("https://" + g.address + "/")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
		t.Errorf("download: %d %v", n, err)
	}
	resp.Body.Close()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://"+g.address+"/", io.LimitReader(zeros{}, size))
	req.ContentLength = size
	if resp, err = c.Do(req); err != nil || resp.StatusCode != 204 { //nolint:bodyclose // a 204 has none
		t.Errorf("upload: %v", err)
	}
	close(stop)
	<-stopped
	t.Logf("peak of the heap, client and instance included: %d MiB", peak>>20)
	if peak > 48<<20 {
		t.Errorf("%d MiB of heap for bodies of %d MiB", peak>>20, size>>20)
	}
}
