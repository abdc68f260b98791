package forward

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// stream2 is one HTTP/2 request and its reply: an exchange.
type stream2 struct {
	net.Conn // of the connection: only its addresses are of use
	m        *mux
	out      http.ResponseWriter
	ctl      *http.ResponseController
	r        *http.Request
	w        *work
	from     *via
	g        guard // of the stream
	in       pace  // of the body

	box      *[]byte // what the body is read into
	consumed atomic.Bool
	lines    []byte // trailers of the request
	err      error  // of the body

	replied bool
	broken  bool
	dirty   bool // something is written and not flushed
	live    func(*Live)
	addr    netip.Addr
	known   bool

	mu     sync.Mutex
	behind io.Closer
	stops  []func() bool // of the watches over the client's departure
}

// noConn is the connection that handlers see; nobody reads or writes on it. Its deadlines are the stream's.
type noConn struct {
	net.Conn
	remote net.Addr
	ctl    *http.ResponseController
}

func (c noConn) RemoteAddr() net.Addr { return c.remote }
func (c noConn) LocalAddr() net.Addr  { return c.remote }
func (c noConn) Close() error         { return nil }

func (c noConn) SetReadDeadline(t time.Time) error  { return c.ctl.SetReadDeadline(t) }
func (c noConn) SetWriteDeadline(t time.Time) error { return c.ctl.SetWriteDeadline(t) }

// serve answers one request.
func (m *mux) serve(out http.ResponseWriter, r *http.Request) {
	c, ok := r.Context().Value(connKey{}).(*conn2)
	if !ok {
		panic("bug: a request without a connection")
	}
	if !m.enter() {
		panic(http.ErrAbortHandler)
	}
	defer m.streams.Done()
	ctl := http.NewResponseController(out)
	x := &stream2{Conn: noConn{remote: addrOf(c.from), ctl: ctl}, m: m, out: out, ctl: ctl, r: r, from: c.from}
	x.g.conn, x.in = x.Conn, m.s.limits.pace(&x.g)
	m.s.watch().add(&x.g)
	defer x.end()
	// A stream that is reset before its reply has begun is served to its end all the same: if resetting freed
	// its place at once, one connection could make the instance begin any number of requests.
	x.stops = append(x.stops, context.AfterFunc(c.ctx, x.sever))
	x.exchange()
	x.runLive()
}

// exchange answers the request, up to the body of a live reply.
func (x *stream2) exchange() {
	x.w = x.m.s.works.take(nil)
	defer func() {
		x.m.s.giveWork(nil, x.w)
		x.w = nil
	}()
	if err := x.readHead(); err != nil {
		x.reject(err)
		return
	}
	if !x.admit() {
		return
	}
	defer x.discharge()
	x.w.begin(x)
	x.handle()
	x.w.end()
}

func addrOf(v *via) net.Addr {
	if !v.peer.IsValid() {
		return &net.UnixAddr{Net: "unix"}
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(v.peer, 0))
}

// end gives back what the stream holds; a broken reply ends with RST_STREAM.
func (x *stream2) end() {
	for _, stop := range x.stops {
		stop()
	}
	x.m.s.watch().remove(&x.g)
	if x.box != nil {
		x.m.s.heads.give(nil, x.box)
	}
	if x.broken {
		panic(http.ErrAbortHandler) // how a handler tells the library
	}
}

func (x *stream2) readHead() error {
	raw, err := appendHead2(x.w.raw[:0], x.r)
	if err != nil {
		return err
	}
	x.w.raw = raw
	if len(raw) > x.m.s.limits.HeaderBytes {
		return errHeadTooLarge
	}
	if err := x.w.head.parseRequest(raw, &x.m.s.limits); err != nil {
		return err
	}
	x.consumed.Store(x.r.ContentLength == 0)
	return nil
}

// admit counts the request against its client: it takes as much as a connection of HTTP/1.1 does, and one
// connection may bring streamsPerConn of them.
func (x *stream2) admit() bool {
	if !x.counted() || x.m.s.census.Enter(x.clientAddr()) {
		return true
	}
	x.m.s.excess.WithLabelValues("connections_per_client").Inc()
	x.refuse(rejection{429, "Too many requests at once from this address (limits.connections_per_client)."})
	return false
}

func (x *stream2) discharge() {
	if x.counted() {
		x.m.s.census.Leave(x.clientAddr())
	}
}

// counted reports whether the request has a client of its own: not when it is a trusted proxy's.
func (x *stream2) counted() bool {
	return !x.from.trusted || x.w.head.lastFor >= 0 && x.clientAddr() != x.from.peer
}

func (x *stream2) clientAddr() netip.Addr {
	if !x.known {
		x.addr, x.known = x.from.client(&x.w.head), true
	}
	return x.addr
}

// handle runs the handler and answers for it if it panics.
func (x *stream2) handle() {
	defer func() {
		if p := recover(); p != nil {
			x.m.s.log.Error("handler panicked", slog.Any("panic", p))
			if x.replied {
				x.broken = true
				return
			}
			x.refuse(rejection{500, "The gateway failed."})
		}
	}()
	if err := x.m.s.parse(x.w, x); err != nil {
		x.reject(err)
		return
	}
	x.m.s.o.Handler(&x.w.ctx)
	if !x.replied {
		x.writeOwn()
	}
}

// The exchange over HTTP/2.

func (x *stream2) request() *head { return &x.w.head }
func (x *stream2) upload() upload { return x }
func (x *stream2) via() *via      { return x.from }
func (x *stream2) of() *task      { return nil }
func (x *stream2) modern() bool   { return true }

func (x *stream2) trailers() []byte { return x.lines }
func (x *stream2) done() bool       { return x.consumed.Load() }

func (x *stream2) peek() ([]byte, bool)  { return nil, x.done() }
func (x *stream2) whole() ([]byte, bool) { return nil, x.done() }

// tell100 has nothing to do: the library does it when the body is first read.
func (x *stream2) tell100() error { return nil }

// next returns the next bytes of the body, within the time a body may take.
func (x *stream2) next() ([]byte, error) {
	if x.err != nil {
		return nil, x.err
	}
	if x.box == nil {
		x.box = x.m.s.heads.take(nil)
	}
	x.in.wait()
	n, err := x.r.Body.Read(*x.box)
	x.in.came(n)
	if err != nil {
		x.err = x.bodyError(err)
	}
	if n > 0 {
		return (*x.box)[:n], nil
	}
	return nil, x.err
}

func (x *stream2) bodyError(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		x.lines = appendTrailers2(x.lines, x.r.Trailer)
		x.consumed.Store(true)
		return io.EOF
	case x.g.readOut.Load():
		x.m.s.excess.WithLabelValues("body_timeout").Inc()
		return ErrSlow
	default:
		return errTruncated
	}
}

func (x *stream2) cancel() {
	_ = x.r.Body.Close() // wakes a waiting next
}

func (x *stream2) attach(c io.Closer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.behind = c
}

// sever closes what is behind when the client has gone.
func (x *stream2) sever() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.behind != nil {
		_ = x.behind.Close()
	}
}

// listens has nothing to do: from start on a client that goes ends the exchange.
func (x *stream2) listens() (stop func()) { return func() {} }

func (x *stream2) left() bool { return x.r.Context().Err() != nil }

// hijack is never called: a request without Upgrade gets no 101.
func (x *stream2) hijack() (net.Conn, []byte) { panic("bug: HTTP/2 has no upgrades") }
