package forward_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/relay/forward"
)

func TestUploadsStream(t *testing.T) {
	t.Parallel()
	steps := make(chan string)
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		head, _ := readHead(c)
		steps <- head
		for _, want := range []string{"3\r\nabc\r\n", "4\r\ndefg\r\n", "0\r\nX-T: 1\r\n\r\n"} {
			b, _ := readN(c, want)
			steps <- b
		}
		io.WriteString(c, ok)
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	head := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n"
	for _, s := range []struct{ send, want string }{
		{head + "\r\n", head + added + "\r\n"},
		{"3\r\nabc\r\n", "3\r\nabc\r\n"},
		{"0004;x\r\ndefg\r\n", "4\r\ndefg\r\n"},
		{"0\r\nX-T: 1\r\nContent-Length: 5\r\nX-Real-IP: 6.6.6.6\r\n\r\n", "0\r\nX-T: 1\r\n\r\n"},
	} {
		io.WriteString(c, s.send)
		if got := <-steps; got != s.want {
			t.Fatalf("upstream got %q, want %q", got, s.want)
		}
	}
	if b, same := readN(c, ok); !same {
		t.Errorf("got %q", b)
	}
}

// Trailers are those of their message, also when the next one of the connection has none.
func TestTrailersStayWithTheirMessage(t *testing.T) {
	t.Parallel()
	const request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
	const reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	bodies := []string{"1\r\na\r\n0\r\nX-T: 1\r\n\r\n", "1\r\nb\r\n0\r\n\r\n"}
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		for {
			head, err := readHead(c)
			if err != nil {
				return
			}
			body, _ := readHead(c)
			if head != request+added+"\r\n" || body != bodies[0] && body != bodies[1] {
				t.Errorf("upstream got %q", head+body)
			}
			io.WriteString(c, reply+body)
		}
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	for _, body := range append(bodies, bodies...) {
		io.WriteString(c, request+"\r\n"+body)
		if b, same := readN(c, reply+body); !same {
			t.Fatalf("got %q", b)
		}
	}
}

func TestContinueComesFromTheUpstream(t *testing.T) {
	t.Parallel()
	const head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n"
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		if b, _ := readHead(c); b != head+added+"\r\n" {
			t.Errorf("upstream got %q", b)
		}
		io.WriteString(c, "HTTP/1.1 100 Go On\r\nA: 1\r\n\r\n")
		readN(c, "abc")
		io.WriteString(c, ok)
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	io.WriteString(c, head+"\r\n")
	if b, same := readN(c, "HTTP/1.1 100 Go On\r\nA: 1\r\n\r\n"); !same {
		t.Fatalf("got %q", b)
	}
	io.WriteString(c, "abc")
	if b, same := readN(c, ok); !same {
		t.Errorf("got %q", b)
	}
}

// A connection that was told nothing else goes on after an upload, even if the upstream ends its own.
func TestAnUploadLeavesItsConnectionOpen(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		begun <- struct{}{}
		readN(c, "abc")
		io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
	})
	up := setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}
	plain, secure := dial(t, open(t, up, nil).address), dial(t, openSecure(t, up, nil).address)
	for _, c := range []net.Conn{plain, tls.Client(secure, anyone("http/1.1"))} {
		for i := range 3 {
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
			select {
			case <-begun:
			case <-time.After(patience):
				t.Fatalf("upload %d does not begin", i)
			}
			io.WriteString(c, "abc")
			if b, same := readN(c, ok); !same {
				t.Fatalf("upload %d got %q", i, b)
			}
		}
	}
}

func TestEarlyReplyReachesTheClient(t *testing.T) {
	t.Parallel()
	const tooLarge = "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n"
	for _, linger := range []string{"keeps reading", "closes at once", "reads no more"} {
		over := make(chan struct{})
		t.Cleanup(func() { close(over) })
		l := serveScript(t, "tcp", func(c net.Conn, _ int) {
			defer c.Close()
			readHead(c)
			io.WriteString(c, tooLarge+"\r\nbig")
			switch linger {
			case "keeps reading":
				io.Copy(io.Discard, c)
			case "reads no more":
				<-over
			}
		})
		g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
		c := dial(t, g.address)
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
		go func() {
			for range 100 {
				if _, err := c.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}()
		if b, same := readN(c, tooLarge+"Connection: close\r\n\r\nbig"); !same || !atEnd(c) {
			t.Errorf("%s: got %q", linger, b)
		}
	}
}

// TestAClientThatLeavesIsNoticed: nobody goes on reading a reply that nobody takes, however it is framed.
func TestAClientThatLeavesIsNoticed(t *testing.T) {
	t.Parallel()
	piece := strings.Repeat("x", 20_000)
	for _, w := range []struct{ framing, piece string }{
		{"Content-Length: 100000000000\r\n\r\n", piece},
		{"Transfer-Encoding: chunked\r\n\r\n", "4e20\r\n" + piece + "\r\n"},
	} {
		noticed := make(chan error, 1)
		l := serveScript(t, "tcp", func(c net.Conn, _ int) {
			defer c.Close()
			readHead(c)
			_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n"+w.framing)
			for err == nil {
				_, err = io.WriteString(c, w.piece)
			}
			noticed <- err
		})
		g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
		c := dial(t, g.address)
		io.WriteString(c, next)
		readN(c, piece)
		c.Close()
		if err := <-noticed; errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%.20q: the upstream could write on", w.framing)
		}
	}
}

// TestUnreadBytesDoNotTakeTheReplyAway: what a client sent behind its last request does not end its connection in disorder.
func TestUnreadBytesDoNotTakeTheReplyAway(t *testing.T) {
	t.Parallel()
	asked, sent := make(chan struct{}), make(chan struct{})
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		close(asked)
		<-sent
		io.WriteString(c, ok)
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	<-asked
	io.WriteString(c, "more")
	close(sent)
	if b, err := io.ReadAll(c); !strings.HasSuffix(string(b), "ok") || err != nil {
		t.Errorf("got %q, and then %v", b, err)
	}
}

func TestCutUploadIsNeverWhole(t *testing.T) {
	t.Parallel()
	for _, framing := range []string{"Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"} {
		got := make(chan string, 1)
		l := serveScript(t, "tcp", func(c net.Conn, _ int) {
			b, _ := io.ReadAll(c)
			got <- string(b)
			c.Close()
		})
		g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
		c := dial(t, g.address)
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\n"+framing)
		c.(*net.TCPConn).CloseWrite()
		if b, _ := io.ReadAll(c); !strings.HasPrefix(string(b), "HTTP/1.1 400 ") {
			t.Errorf("client got %q", b)
		}
		if b := <-got; strings.HasSuffix(b, "0\r\n\r\n") || !strings.Contains(b, "abc") {
			t.Errorf("upstream got %q", b)
		}
	}
}

// TestCutRepliesAreNoEnds: a client to which the end of its connection would be that of the reply sees an error instead.
func TestCutRepliesAreNoEnds(t *testing.T) {
	t.Parallel()
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, func(u *forward.Upstream) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			if string(ctx.Path()) == "/live" {
				forward.GoLive(ctx, func(l *forward.Live) { l.Write([]byte("hello")); panic("as a test") })
				return
			}
			u.Pass(ctx)
		}
	})
	for _, path := range []string{"/", "/live"} {
		c := dial(t, g.address)
		io.WriteString(c, "GET "+path+" HTTP/1.0\r\n\r\nmore")
		if b, err := io.ReadAll(c); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %q, and then %v", path, b, err)
		}
	}
}

func TestEventsFlowUnbuffered(t *testing.T) {
	t.Parallel()
	send := make(chan string)
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		for s := range send {
			io.WriteString(c, s)
		}
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l), StallTimeout: 50 * time.Millisecond}}, nil)
	c := dial(t, g.address)
	io.WriteString(c, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
		"9\r\ndata: 1\n\n\r\n", "9\r\ndata: 2\n\n\r\n", "0\r\n\r\n",
	} {
		send <- s
		if b, same := readN(c, s); !same {
			t.Fatalf("got %q, want %q", b, s)
		}
	}
	close(send)
}

// A chunk whose end has not arrived is passed on as far as it came.
func TestHalfAChunkFlows(t *testing.T) {
	t.Parallel()
	send := make(chan string)
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		for s := range send {
			io.WriteString(c, s)
		}
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	head := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, s := range []struct{ send, want string }{
		{head + "6\r\nab", head + "2\r\nab\r\n"}, {"cd", "2\r\ncd\r\n"}, {"ef\r\n0\r\n", "2\r\nef\r\n"}, {"\r\n", "0\r\n\r\n"},
	} {
		send <- s.send
		if b, same := readN(c, s.want); !same {
			t.Fatalf("got %q, want %q", b, s.want)
		}
	}
	close(send)
}

func TestUpgradesAreTunnelled(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		const head = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: frob\r\nconnection: upgrade\r\n"
		const switched = "HTTP/1.1 101 Over You Go\r\nUpgrade: frob\r\nConnection: Upgrade\r\n\r\n"
		l := serveScript(t, network, func(c net.Conn, _ int) {
			defer c.Close()
			if b, _ := readHead(c); b != head+added+"\r\n" {
				t.Errorf("upstream got %q", b)
			}
			io.WriteString(c, switched+"early")
			b, err := io.ReadAll(c) // until the client's half of the tunnel closes
			io.WriteString(c, "late "+string(b))
			if err != nil {
				t.Errorf("upstream read: %v", err)
			}
		})
		g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
		c := dial(t, g.address)
		io.WriteString(c, head+"\r\nahead ")
		if b, same := readN(c, switched+"early"); !same {
			t.Fatalf("got %q", b)
		}
		io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
		c.(*net.TCPConn).CloseWrite()
		if b, err := io.ReadAll(c); string(b) != "late ahead GET / HTTP/1.1\r\n\r\n" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		if g.requests.Load() != 1 {
			t.Error("bytes of the tunnel were read as a request")
		}
	}
}

// TestUpgradesWithABody: what follows a body goes through the tunnel; before its end nothing does.
func TestUpgradesWithABody(t *testing.T) {
	t.Parallel()
	const switched = "HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
	begun := make(chan struct{})
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		head, _ := readHead(c)
		begun <- struct{}{}
		if strings.Contains(head, "/whole") {
			readN(c, "abc")
		}
		io.WriteString(c, switched)
		io.Copy(struct{ io.Writer }{c}, c)
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	for path, whole := range map[string]bool{"/whole": true, "/half": false} {
		c := dial(t, g.address)
		io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\n")
		<-begun
		if !whole {
			if b, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: got %q, and it goes on", path, b)
			}
			continue
		}
		io.WriteString(c, "abc")
		if b, same := readN(c, switched); !same {
			t.Errorf("%s: got %q", path, b)
		}
		io.WriteString(c, "through")
		if b, same := readN(c, "through"); !same {
			t.Errorf("%s: got %q", path, b)
		}
	}
}

func TestRefusedUpgradeIsAnOrdinaryReply(t *testing.T) {
	t.Parallel()
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		for {
			if _, err := readHead(c); err != nil {
				return
			}
			io.WriteString(c, ok)
		}
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	for range 2 {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n")
		if b, same := readN(c, ok); !same {
			t.Fatalf("got %q", b)
		}
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		for {
			head, err := readHead(c)
			if err != nil {
				return
			}
			path := strings.Fields(head)[1]
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(len(path))+"\r\n\r\n"+path)
		}
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	var send, want strings.Builder
	for i := range 20 {
		path := "/" + strconv.Itoa(100+i)
		send.WriteString("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n")
		want.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + path)
	}
	io.WriteString(c, send.String())
	if b, same := readN(c, want.String()); !same {
		t.Errorf("got %q", b)
	}
}

func TestPassBodySendsWhatWasRead(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", 100_000)
	for _, w := range []struct{ name, head, body, reaches string }{
		{"length", "Content-Length: 3\r\n", "abc", "abc"},
		{"chunked", "Transfer-Encoding: chunked\r\n", "1\r\na\r\n2\r\nbc\r\n0\r\nX: 1\r\n\r\n", "3\r\nabc\r\n0\r\nX: 1\r\n\r\n"},
		{"large", "Content-Length: 100000\r\n", large, large},
		{"large chunked", "Transfer-Encoding: chunked\r\n", "186a0\r\n" + large + "\r\n0\r\n\r\n", "186a0\r\n" + large + "\r\n0\r\n\r\n"},
		{"expected", "Expect: 100-continue\r\nContent-Length: 3\r\n", "abc", "abc"},
		{"nothing", "", "", ""},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			head := "POST /inbox HTTP/1.1\r\nHost: a\r\n" + w.head
			l := serveScript(t, "tcp", func(c net.Conn, _ int) {
				defer c.Close()
				if b, same := readN(c, head+added+"\r\n"+w.reaches); !same {
					t.Errorf("upstream got %.300q", b)
				}
				if strings.Contains(head, "Expect") {
					io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
				}
				io.WriteString(c, ok)
			})
			g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, func(u *forward.Upstream) fasthttp.RequestHandler {
				return func(ctx *fasthttp.RequestCtx) {
					var body []byte
					if r := ctx.RequestBodyStream(); r != nil {
						body, _ = io.ReadAll(r)
					}
					u.PassBody(ctx, body)
				}
			})
			c := dial(t, g.address)
			io.WriteString(c, head+"\r\n")
			if strings.Contains(head, "Expect") {
				readN(c, "HTTP/1.1 100 Continue\r\n\r\n")
			}
			io.WriteString(c, w.body)
			if b, same := readN(c, ok); !same {
				t.Errorf("got %q", b)
			}
		})
	}
}

// endless yields n zero bytes.
func endless(n int64) io.Reader { return io.LimitReader(zeros{}, n) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestLargeBodiesNeedConstantMemory(t *testing.T) {
	const size = 256 << 20
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		r := bufio.NewReaderSize(c, 64<<10)
		req, err := http.ReadRequest(r)
		if err != nil {
			t.Error(err)
			return
		}
		n, _ := io.Copy(io.Discard, req.Body)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Got: "+strconv.FormatInt(n, 10)+"\r\nContent-Length: "+strconv.Itoa(size)+"\r\n\r\n")
		io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{endless(size)}, make([]byte, 64<<10))
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	c := dial(t, g.address)
	c.SetDeadline(time.Now().Add(time.Minute))
	before := peakHeap()
	go func() {
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: "+strconv.Itoa(size)+"\r\n\r\n")
		io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{endless(size)}, make([]byte, 64<<10))
	}()
	head, err := readHead(c)
	if err != nil || !strings.Contains(head, "X-Got: "+strconv.Itoa(size)) {
		t.Fatalf("%q, %v", head, err)
	}
	n, err := io.CopyN(io.Discard, struct{ io.Reader }{c}, size)
	if err != nil {
		t.Errorf("got %d bytes back, %v", n, err)
	}
	if after := peakHeap(); after > before+32<<20 {
		t.Errorf("the heap grew from %d to %d MiB", before>>20, after>>20)
	}
}

// peakHeap returns what the process has ever taken from the system for its heap.
func peakHeap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapSys
}

// TestIdleConnectionsHoldNoBuffers: a kept connection that is silent costs little memory.
func TestIdleConnectionsHoldNoBuffers(t *testing.T) {
	const n, buffer = 400, 16 << 10
	g := open(t, setup{
		server:   forward.ServerOptions{Limits: forward.Limits{ConnectionsPerClient: n}},
		upstream: forward.UpstreamOptions{URL: urlOf(serveScript(t, "tcp", answerAnything))},
	}, nil)
	before := heapInUse()
	for range n {
		c := dial(t, g.address)
		for range 3 {
			io.WriteString(c, next)
			if b, same := readN(c, ok); !same {
				t.Fatalf("got %q", b)
			}
		}
	}
	eventually(t, "their buffers are free", func() bool { return heapInUse() < before+n*buffer/2 })
}

// heapInUse returns what is reachable, roughly.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC() // what pools keep goes after the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// floods are clients who take their time, each in its own way, and the limit that ends them.
var floods = []struct{ name, send, limit string }{
	{"slow heads", "GET / HTTP/1.1\r\nHost: ", "header_timeout"},
	{"slow bodies", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc", "body_timeout"},
	{"slow chunks", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "body_timeout"},
	{"slow readers", "GET /large HTTP/1.1\r\nHost: a\r\n\r\n", "write_timeout"},
	{"no next request", next, "idle_timeout"},
}

func TestManySlowClientsDoNotStopOthers(t *testing.T) {
	t.Parallel()
	const each = 150
	l := serveScript(t, "tcp", answerAnything)
	slow := forward.Limits{HeaderTimeout: 2 * time.Second, BodyTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second, IdleTimeout: 2 * time.Second}
	g := open(t, setup{
		server:   forward.ServerOptions{TrustedProxies: loopback, Limits: slow},
		upstream: forward.UpstreamOptions{URL: urlOf(l)},
	}, nil)
	for range each {
		for _, f := range floods {
			io.WriteString(dial(t, g.address), f.send)
		}
	}
	c := dial(t, g.address)
	for range 100 {
		io.WriteString(c, next)
		if b, same := readN(c, ok); !same {
			t.Fatalf("got %q", b)
		}
	}
	for _, f := range floods {
		want := float64(each)
		if f.limit == "body_timeout" {
			want = 2 * each
		}
		eventually(t, f.name+" are cut", func() bool { return metric(t, g, "sealgate_limit_exceeded_total", f.limit) >= want })
	}
}

// answerAnything answers one request after the other, after its body if it has one.
func answerAnything(c net.Conn, _ int) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		if req.URL.Path == "/large" {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
			io.Copy(c, endless(1000000000))
			return
		}
		io.WriteString(c, ok)
	}
}

// TestAHalfClosedClientGetsItsReply: who closes its writing side after a request is still answered.
func TestAHalfClosedClientGetsItsReply(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	l := serveScript(t, "tcp", func(c net.Conn, n int) {
		<-closed
		answerAnything(c, n)
	})
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
	for _, send := range []string{next, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"} {
		c := dial(t, g.address)
		io.WriteString(c, send)
		c.(*net.TCPConn).CloseWrite()
		if send == next {
			close(closed)
		}
		if b, same := readN(c, ok); !same || !atEnd(c) {
			t.Errorf("got %q", b)
		}
	}
}

// gathered is a connection whose writes go out in one piece before it reads.
type gathered struct {
	net.Conn
	held []byte
}

func (g *gathered) Write(p []byte) (int, error) {
	g.held = append(g.held, p...)
	return len(p), nil
}

func (g *gathered) Read(p []byte) (int, error) {
	if _, err := g.Conn.Write(g.held); err != nil {
		return 0, err
	}
	g.held = nil
	return g.Conn.Read(p)
}

// SetWriteDeadline is what ends a tls.Conn's writing; what is held goes out all the same.
func (g *gathered) SetWriteDeadline(time.Time) error { return nil }

// TestAHalfClosedTLSClientGetsItsReply: the end of a TLS connection may come with the last bytes before it, and in TLS 1.2 one read
// returns both.
func TestAHalfClosedTLSClientGetsItsReply(t *testing.T) {
	t.Parallel()
	up := serveScript(t, "tcp", answerAnything)
	g := openSecure(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(up)}}, nil)
	old := anyone("http/1.1")
	old.MaxVersion = tls.VersionTLS12
	c := tls.Client(&gathered{Conn: dial(t, g.address)}, old)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, next)
	c.CloseWrite()
	if b, same := readN(c, ok); !same || !atEnd(c) {
		t.Errorf("got %q", b)
	}
}
