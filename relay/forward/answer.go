package forward

import (
	"errors"
	"io"
	"net"
	"time"
)

// The exchange over HTTP/1.1.

func (c *client) request() *head { return &c.w.head }
func (c *client) upload() upload { return c }
func (c *client) via() *via      { return c.from }
func (c *client) of() *task      { return c.task }
func (c *client) modern() bool   { return c.w.head.minor == '1' }

func (c *client) next() ([]byte, error) { return c.in.next() }
func (c *client) trailers() []byte      { return c.in.trailers() }
func (c *client) peek() ([]byte, bool)  { return c.in.peek() }
func (c *client) whole() ([]byte, bool) { return c.in.whole() }
func (c *client) done() bool            { return c.in.consumed.Load() }

func (c *client) cancel() {
	c.deaf = true
	_ = c.SetReadDeadline(c.g.w.start) // fails only when closed
}

// hear takes cancel back: all of the upload had come, and the connection goes on.
func (c *client) hear() {
	if c.deaf {
		c.deaf = false
		_ = c.SetReadDeadline(time.Time{}) // as above
	}
}

func (c *client) attach(b io.Closer) {
	c.behindMu.Lock()
	defer c.behindMu.Unlock()
	c.behind = b
}

func (c *client) listens() (stop func()) { return c.g.listen(c.sever) }
func (c *client) left() bool             { return c.g.left.Load() }

// interim passes a 1xx reply on.
func (c *client) interim(h *head) error {
	c.w.out = appendReply(c.w.out, h, replyEdits{})
	return c.flush()
}

// start begins the final reply.
func (c *client) start(h *head, f framing) {
	c.replied, c.framing = true, f
	c.keep = c.keep && !c.s.closing.Load() && c.done() && f != byClose && (f != byChunks || c.modern())
	c.w.out = appendReply(c.w.out, h, replyEdits{close: !c.keep, old: !c.modern(), bare: f == byChunks && !c.modern()})
}

func (c *client) write(p []byte) error {
	for len(p) > 0 {
		unit := p[:min(len(p), sendUnit)]
		if err := c.writeUnit(unit); err != nil {
			return err
		}
		p = p[len(unit):]
	}
	return nil
}

func (c *client) writeUnit(p []byte) error {
	if c.framing == byChunks && c.modern() {
		c.w.out = appendChunkSize(c.w.out, len(p))
		return c.put(p, crlf)
	}
	return c.put(p, nil)
}

var crlf = []byte("\r\n")

// put gathers small pieces and writes large ones without copying them.
func (c *client) put(p, tail []byte) error {
	if len(c.w.out)+len(p)+len(tail) <= outSize {
		c.w.out = append(append(c.w.out, p...), tail...)
		return nil
	}
	if len(c.w.out) == 0 && len(tail) == 0 {
		return c.send(p)
	}
	err := c.sendPieces(c.w.out, p, tail)
	c.w.out = c.w.out[:0]
	return err
}

// sendPieces writes three pieces at once. Together they are limited like one of sendUnit.
func (c *client) sendPieces(p ...[]byte) (err error) {
	copy(c.vec[:], p)
	c.bufs = c.vec[:]
	c.g.write(c.s.limits.WriteTimeout)
	if c.sock.wire != nil {
		err = c.sock.wire.writePieces(c.bufs)
	} else {
		_, err = c.bufs.WriteTo(c.Conn)
	}
	c.vec = [3][]byte{}
	return c.wrote(err)
}

func (c *client) flush() error {
	if len(c.w.out) == 0 {
		return nil
	}
	err := c.send(c.w.out)
	c.w.out = c.w.out[:0]
	return err
}

func (c *client) finish(trailers []byte) error {
	if c.framing == byChunks && c.modern() {
		c.w.out = append(c.w.out, "0\r\n"...)
		c.w.out = append(append(c.w.out, trailers...), crlf...)
	}
	return c.flush()
}

// abort gives the connection up in the middle of a reply. Where the end of the connection would look like the
// end of the body, it is reset.
func (c *client) abort() {
	c.replied, c.keep, c.broken = true, false, true
	if c.endsByClose() {
		reset(c.Conn)
	}
}

func (c *client) endsByClose() bool {
	return c.framing == byClose || c.framing == byChunks && !c.modern()
}

func (c *client) hijack() (net.Conn, []byte) {
	c.tunnel, c.replied = true, true
	c.phase.Store(uint32(tunnelled))
	return c.Conn, c.rd.buffered()
}

// Write sends p to the client, for fasthttp.
func (c *client) Write(p []byte) (int, error) {
	if err := c.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

const sendUnit = 32 << 10 // what a client must take within Limits.WriteTimeout

// send writes p, a limited piece at a time.
func (c *client) send(p []byte) error {
	for len(p) > 0 {
		unit := p[:min(len(p), sendUnit)]
		c.g.write(c.s.limits.WriteTimeout)
		_, err := c.sock.Write(unit)
		if err = c.wrote(err); err != nil {
			return err
		}
		p = p[len(unit):]
	}
	return nil
}

func (c *client) wrote(err error) error {
	c.g.write(0)
	if err != nil && c.g.writeOut.Load() {
		c.s.excess.WithLabelValues("write_timeout").Inc()
		return ErrSlow
	}
	return err
}

// tell100 sends 100 Continue to a client that waits for it before its body.
func (c *client) tell100() error {
	if !c.w.head.expects || c.told100 || c.done() || len(c.rd.buffered()) > 0 {
		return nil
	}
	c.told100 = true
	return c.send([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
}

const (
	drainBytes = 256 << 10       // of a body nobody wanted, to keep a connection
	lingerTime = 2 * time.Second // for a client to read the last reply while its body is thrown away
)

// drainable reports whether reading the rest of the request body is worth the connection.
func (c *client) drainable() bool {
	if c.done() {
		return true
	}
	if c.in.err != nil {
		return false
	}
	return (c.in.framing == byChunks || c.in.left <= drainBytes) && (!c.w.head.expects || c.told100)
}

// settle ends the exchange and reports whether another may follow.
func (c *client) settle() bool {
	c.countSlow()
	if c.tunnel || c.live != nil || c.broken && (c.endsByClose() || c.g.writeOut.Load()) {
		return false
	}
	if !c.keep { // if it is broken the client may still read replies before it
		c.linger()
		return false
	}
	for n := 0; !c.done(); {
		p, err := c.in.next()
		if n += len(p); err != nil && !errors.Is(err, io.EOF) || n > drainBytes {
			c.linger()
			return false
		}
	}
	c.hear()
	return true
}

func (c *client) countSlow() {
	if c.g.readOut.Load() {
		c.s.excess.WithLabelValues("body_timeout").Inc()
	}
}

// waits reports whether there is something to read.
func (c *client) waits() bool {
	raw := rawOf(c.Conn)
	if raw == nil {
		return false
	}
	quiet := true
	err := raw.Control(func(fd uintptr) { quiet = quietNow(fd) })
	return err == nil && !quiet
}

// linger lets the client read what was sent before the connection closes: closing with unread bytes would
// reset it and could take the reply away (RFC 9112 §9.6).
func (c *client) linger() {
	h, ok := c.Conn.(interface{ CloseWrite() error })
	if c.in.consumed.Load() && c.w != nil && len(c.rd.buffered()) == 0 && !c.waits() || !ok || h.CloseWrite() != nil {
		return
	}
	c.rd.consume(len(c.rd.buffered()))
	c.g.readOut.Store(false)
	_ = c.SetReadDeadline(time.Time{}) // fails only when closed, and then so does fill
	c.g.read(min(lingerTime, c.s.limits.BodyTimeout))
	for c.rd.fill(0) == nil {
		c.rd.consume(len(c.rd.buffered()))
	}
}
