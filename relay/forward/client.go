package forward

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// phase is what a client's connection is doing.
type phase uint32

const (
	idle      phase = iota + 1 // waiting for a request
	active                     // in a request
	tunnelled                  // its upgrade was accepted
	gone                       // Shutdown closed it
)

// client is one HTTP/1.1 connection, and the exchange of its current request. One task serves it;
// phase and sever belong to Shutdown as well.
type client struct {
	net.Conn // as accepted
	s        *Server
	task     *task // nil: a goroutine serves it
	sock     socket
	rd       reader
	g        guard
	in       body
	from     *via
	phase    atomic.Uint32
	behindMu sync.Mutex
	behind   io.Closer // what to close with it: the link; nil: nothing

	served  int   // requests so far
	entered bool  // into the census
	w       *work // of the current request; nil between requests

	// The reply.
	replied  bool // something final was written
	keep     bool // the connection outlives the exchange
	broken   bool // aborted: the client must not take the reply for whole
	deaf     bool // cancel ended its upload
	tunnel   bool // the connection is no longer HTTP
	live     func(*Live)
	framing  framing
	told100  bool
	addr     netip.Addr // of the client, once asked for
	knowAddr bool

	vec  [3][]byte
	bufs net.Buffers
}

// newClient takes c over. After an error c is closed.
func (s *Server) newClient(c net.Conn) (*client, error) {
	k := &client{s: s}
	if plainSocket(c) {
		k.task = s.loops.next().newTask()
		w, err := takeOver(c, k.task)
		if err != nil {
			return nil, err
		}
		c = w
	}
	k.Conn = c
	k.phase.Store(uint32(idle))
	k.g.conn = c
	k.sock.open(c)
	k.rd.open(&k.sock, &s.heads)
	k.in = body{r: &k.rd, pace: s.limits.pace(&k.g)}
	return k, nil
}

// serve answers requests until the connection ends, or until a live reply is all that is left of it.
func (c *client) serve() {
	c.s.watch().add(&c.g)
	c.g.read(c.s.limits.HeaderTimeout)
	c.from = newVia(c.Conn, c.s.o.TrustedProxies) // with the PROXY protocol this waits for its header
	if c.entered = !c.from.trusted && c.s.census.Enter(c.from.peer); !c.entered && !c.from.trusted {
		c.s.excess.WithLabelValues("connections_per_client").Inc()
		c.refuse(rejection{429, "Too many connections from this address (limits.connections_per_client)."})
		return
	}
	for c.await() && c.serveOne() {
		c.served++
	}
}

// end gives back what serve took.
func (c *client) end() {
	if c.entered {
		c.s.census.Leave(c.from.peer)
	}
	c.leave()
	c.s.watch().remove(&c.g)
}

// leave closes the connection, unless it has become a tunnel, which ends by itself.
func (c *client) leave() {
	if c.tunnel {
		return
	}
	_ = c.Close() // nothing is left to lose
	c.rd.r = c.rd.w
	c.rd.release()
}

// reset makes the close that follows visible as an error at the other end.
func reset(c net.Conn) {
	if t, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0) // best effort: without it the peer sees an early end
	}
}

// sever ends the connection from outside.
func (c *client) sever() {
	_ = c.Close() // its owner notices
	c.behindMu.Lock()
	defer c.behindMu.Unlock()
	if c.behind != nil {
		_ = c.behind.Close()
	}
}

// await waits for the first byte of the next request; false: there is none. One empty line before it is like nothing (RFC 9112 §2.2).
func (c *client) await() bool {
	if c.served > 0 {
		c.g.read(c.s.limits.IdleTimeout)
	}
	for empty := crlf; ; {
		if bytes.HasPrefix(c.rd.buffered(), empty) {
			c.rd.consume(len(empty))
			empty = nil
		}
		if !bytes.HasPrefix(empty, c.rd.buffered()) {
			break
		}
		c.phase.Store(uint32(idle))
		if err := c.rd.fill(c.s.limits.HeaderBytes); err != nil {
			c.noteWait()
			return false
		}
		if !c.phase.CompareAndSwap(uint32(idle), uint32(active)) {
			return false
		}
	}
	if c.served > 0 {
		c.g.read(c.s.limits.HeaderTimeout)
	}
	return true
}

// noteWait counts connections that did not send a request in time, the first or the next.
func (c *client) noteWait() {
	limit := "header_timeout"
	if c.served > 0 {
		limit = "idle_timeout"
	}
	if c.g.readOut.Load() {
		c.s.excess.WithLabelValues(limit).Inc()
	}
}

// serveOne answers one request and reports whether the connection may have another.
func (c *client) serveOne() bool {
	w := c.s.works.take(c.task)
	defer c.s.giveWork(c.task, w)
	if err := c.readHead(w); err != nil {
		c.reject(err)
		return false
	}
	c.w = w
	defer func() { c.w = nil }()
	if !c.admit() {
		return false
	}
	defer c.discharge()
	c.expectReply()
	if c.task != nil {
		c.task.later = false
	}
	w.begin(c)
	c.handle()
	w.end()
	return c.settle()
}

// expectReply forgets the reply before.
func (c *client) expectReply() {
	c.replied, c.broken, c.told100, c.framing = false, false, false, noBody
	c.keep = c.w.head.persistent()
	c.w.out = c.w.out[:0]
}

// readHead reads and checks one request head and prepares the body behind it.
func (c *client) readHead(w *work) error {
	n, err := c.rd.head(c.s.limits.HeaderBytes)
	c.knowAddr = false
	if err != nil {
		return err
	}
	w.raw = append(w.raw[:0], c.rd.buffered()[:n]...)
	c.rd.consume(n)
	c.g.read(0)
	if err := w.head.parseRequest(w.raw, &c.s.limits); err != nil {
		return err
	}
	c.startBody(&w.head)
	return nil
}

func (c *client) startBody(h *head) {
	switch {
	case h.chunked:
		c.in.start(byChunks, 0)
	case h.length > 0:
		c.in.start(byLength, h.length)
	default:
		c.in.start(noBody, 0)
	}
}

// admit counts a request that a trusted proxy brought against the client it names.
func (c *client) admit() bool {
	if !c.counted() || c.s.census.Enter(c.clientAddr()) {
		return true
	}
	c.s.excess.WithLabelValues("connections_per_client").Inc()
	c.refuse(rejection{429, "Too many requests at once from this address (limits.connections_per_client)."})
	return false
}

func (c *client) discharge() {
	if c.counted() {
		c.s.census.Leave(c.clientAddr())
	}
}

// counted reports whether the request has a client of its own, behind a trusted proxy.
func (c *client) counted() bool {
	return c.from.trusted && c.w.head.lastFor >= 0 && c.clientAddr() != c.from.peer
}

func (c *client) clientAddr() netip.Addr {
	if !c.knowAddr {
		c.addr, c.knowAddr = c.from.client(&c.w.head), true
	}
	return c.addr
}
