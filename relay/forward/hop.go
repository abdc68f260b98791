package forward

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// hop is one request on its way to the upstream and the reply on its way back. It is reused.
type hop struct {
	u   *Upstream
	x   exchange
	how manner
	l   *link

	out      []byte // the request head, and what of the body is there
	rest     []byte // of a body read before, too large to be copied behind the head
	streamed bool   // the body is still coming from the client
	heard    bool   // something of the reply arrived
	interims int
	status   int // of the reply; 0: it has not begun

	doc   []byte // PassEdited: the document
	reply []byte // PassEdited: the head

	pumped   chan struct{} // closed when the upload has ended
	upErr    error         // of the upload, once pumped is closed
	fault    atomic.Bool   // the client broke its upload off; upErr follows
	arming   sync.Mutex    // headSeen and the limit that belongs to it
	headSeen bool
}

const wholeBody = 64 << 10 // bodies up to this are copied behind their head

func (u *Upstream) takeHop() *hop {
	if h, ok := u.hops.Get().(*hop); ok {
		return h
	}
	return &hop{u: u, out: make([]byte, 0, 4<<10)}
}

func (u *Upstream) giveHop(h *hop) {
	if cap(h.out) > 2*wholeBody || cap(h.doc) > 2*wholeBody {
		return
	}
	out, doc, reply := h.out[:0], h.doc[:0], h.reply[:0]
	*h = hop{u: u, out: out, doc: doc, reply: reply} //nolint:govet // copylocks: nobody holds arming here
	u.hops.Put(h)
}

// givenUp is a failure after the reply had begun.
type givenUp struct {
	status int
	err    error
}

func (g *givenUp) Error() string { return "reply given up: " + g.err.Error() }
func (g *givenUp) Unwrap() error { return g.err }

// run forwards the request and the reply.
func (h *hop) run() error {
	h.compose()
	r := h.reuse()
	err := h.attempt(r)
	if err != nil && h.again(r) {
		h.lose()
		err = h.attempt(never)
	}
	if err == nil {
		err = h.carry()
	}
	h.x.attach(nil)
	if err != nil {
		err = h.failed(err)
	}
	return err
}

// compose writes the head into h.out and behind it what is there of the body.
func (h *hop) compose() {
	req := h.x.request()
	edited := h.how.edit.Document != nil
	h.out = appendRequest(h.out[:0], req, h.x.via(), &requestEdits{
		identity: edited, asGet: edited && req.isHead(), cookie: h.u.o.HideCookie,
	})
	if h.how.read {
		h.composeBody(req)
		return
	}
	p, all := h.x.upload().whole()
	h.out = append(h.out, p...)
	h.streamed = !all
}

func (h *hop) composeBody(req *head) {
	body := h.how.body
	if req.chunked && len(body) > 0 {
		h.out = appendChunkSize(h.out, len(body))
	}
	if len(body) <= wholeBody {
		h.out, body = append(h.out, body...), nil
	}
	if req.chunked {
		end := h.appendEnd(nil, h.how.body)
		if body != nil {
			body = append(append([]byte(nil), body...), end...)
		} else {
			h.out = append(h.out, end...)
		}
	}
	h.rest = body
}

// appendEnd writes what follows the chunked body.
func (h *hop) appendEnd(dst, body []byte) []byte {
	if len(body) > 0 {
		dst = append(dst, crlf...)
	}
	dst = append(dst, "0\r\n"...)
	return append(append(dst, h.x.upload().trailers()...), crlf...)
}

// reuse decides which connection may carry the request.
func (h *hop) reuse() reuse {
	switch {
	case h.streamed:
		return never
	case h.x.request().idempotent():
		return repeatable
	case h.u.closes.Load():
		return never
	default:
		return unrepeated
	}
}

// attempt sends the request and reads the reply up to the final head.
func (h *hop) attempt(r reuse) error {
	l, err := h.u.link(r)
	if err != nil {
		return err
	}
	h.l, h.heard = l, false
	h.x.attach(l)
	l.g.read(h.u.o.HeaderTimeout)
	err = l.write(h.out)
	if err == nil && len(h.rest) > 0 {
		err = l.write(h.rest)
	}
	if h.streamed {
		h.pumped = make(chan struct{})
		go h.pump() // awaited by settleUpload or lose
	}
	if err := h.readFinal(); err != nil { // even after a failed write: the reply may be there already
		return err
	}
	h.seen()
	return nil
}

// again reports whether the failed attempt may be repeated: the connection had been kept, nothing was
// heard, and the request either can be sent twice or was certainly not received.
func (h *hop) again(r reuse) bool {
	if h.l == nil || !h.l.used || h.heard || h.streamed || h.l.g.readOut.Load() {
		return false
	}
	h.u.noteClosed(h.l)
	return r == repeatable || h.l.untouched()
}

// lose gives the connection up and ends the upload.
func (h *hop) lose() {
	if h.l == nil {
		return
	}
	if h.pumped != nil {
		_ = h.l.Conn.Close()
		h.x.upload().cancel()
		<-h.pumped
	}
	h.l.drop()
	h.l = nil
}

// failed says what went wrong, after the connection is given up.
func (h *hop) failed(err error) error {
	fault := h.fault.Load() // before lose makes the upload fail
	slow := h.l != nil && h.l.g.readOut.Load()
	h.lose()
	if fault {
		err = h.upErr
	} else {
		err = h.blame(err, slow)
	}
	if h.status != 0 {
		return &givenUp{h.status, err}
	}
	return err
}

// blame turns a reading error of the link into a failure; others are the client's.
func (h *hop) blame(err error, slow bool) error { //nolint:revive // flag-parameter: what the link knew
	var f *failure
	var c *clientError
	switch {
	case errors.As(err, &f), errors.As(err, &c):
		return err
	case slow && h.status == 0:
		return &failure{kindTimeout, 504, errSlow}
	case slow:
		return &failure{kindStalled, 502, err}
	case errors.Is(err, errHeadTooLarge), errors.Is(err, errTooManyHeads):
		return &failure{kindTooLarge, 502, err}
	case errors.Is(err, errMalformed), errors.Is(err, errChunk), errors.Is(err, errSwitch):
		return &failure{kindMalformed, 502, err}
	case h.headSeen:
		return &failure{kindTruncated, 502, err}
	}
	return &failure{kindClosed, 502, err}
}

// clientError is a failure to reach the client.
type clientError struct{ err error }

func (c *clientError) Error() string { return "client: " + c.err.Error() }
func (c *clientError) Unwrap() error { return c.err }

func toClient(err error) error {
	if err == nil {
		return nil
	}
	return &clientError{err}
}

const maxInterims = 32

// readFinal reads reply heads, passing interim ones on, until the final one is in h.l.head.
func (h *hop) readFinal() error {
	for {
		n, err := h.l.rd.head(h.u.o.HeaderBytes)
		h.heard = h.heard || len(h.l.rd.buffered()) > 0
		if err != nil {
			return err
		}
		hd := &h.l.head
		if err := hd.parseReply(h.l.rd.buffered()[:n]); err != nil {
			return err
		}
		h.l.rd.consume(n)
		if hd.status >= 200 || hd.status == 101 {
			return h.allowed(hd)
		}
		if h.interims++; h.interims > maxInterims {
			return errTooManyHeads
		}
		if h.x.modern() && !(h.how.read && hd.status == 100) {
			if err := h.x.interim(hd); err != nil {
				return toClient(err)
			}
		}
	}
}

// allowed refuses a protocol switch nobody asked for.
func (h *hop) allowed(hd *head) error {
	if hd.status == 101 && (!h.x.request().upgrades || h.how.edit.Document != nil) {
		return errSwitch
	}
	return nil
}

// seen lifts the limit on the reply's head.
func (h *hop) seen() {
	h.arming.Lock()
	defer h.arming.Unlock()
	h.headSeen = true
	h.l.g.read(0)
}

// carry passes the final reply on and settles the connection.
func (h *hop) carry() error {
	hd := &h.l.head
	if hd.status == 101 {
		return h.switchOver(hd)
	}
	f := h.replyFraming(hd)
	keep := hd.persistent() && f != byClose
	h.l.in.patience = h.u.o.StallTimeout
	if is(hd.value("content-type"), "text/event-stream") {
		h.l.in.patience = 0
	}
	h.l.in.start(f, hd.length)
	var err error
	if h.how.edit.Document != nil {
		err = h.carryEdited(hd, f)
	} else {
		err = h.carryPlain(hd, f)
	}
	if err != nil {
		return err
	}
	h.release(keep)
	return nil
}

func (h *hop) replyFraming(hd *head) framing {
	asked := h.x.request()
	switch {
	case hd.status == 204 || hd.status == 304, asked.isHead() && h.how.edit.Document == nil:
		return noBody
	case hd.chunked:
		return byChunks
	case hd.length >= 0:
		return byLength
	default:
		return byClose
	}
}

func (h *hop) carryPlain(hd *head, f framing) error {
	h.status = hd.status
	if err := h.x.start(hd, f); err != nil {
		return toClient(err)
	}
	return h.copyBody()
}

// copyBody passes the body on. What was gathered is flushed whenever the upstream makes it wait.
func (h *hop) copyBody() error {
	h.l.rd.onWait = h.x
	defer func() { h.l.rd.onWait = nil }()
	for {
		p, err := h.l.in.next()
		if errors.Is(err, io.EOF) {
			return toClient(h.x.finish(h.l.in.trailers()))
		}
		if err != nil {
			return errors.Join(err, toClient(h.x.flush())) // what did arrive, arrives
		}
		if err := h.x.write(p); err != nil {
			return toClient(err)
		}
	}
}

// release ends the upload and keeps the connection if it is clean.
func (h *hop) release(keep bool) { //nolint:revive // flag-parameter: what the reply's head said
	sent := h.settleUpload()
	l := h.l
	if keep && sent && l.in.consumed.Load() && len(l.rd.buffered()) == 0 && !l.g.readOut.Load() {
		h.l = nil
		l.keep()
		return
	}
	h.lose()
}

// settleUpload waits for an upload whose end the client has sent, and reports whether all of it went out.
func (h *hop) settleUpload() bool {
	if h.pumped == nil {
		return true
	}
	if !h.x.upload().done() {
		return false
	}
	t := time.NewTimer(time.Second)
	defer t.Stop()
	select {
	case <-h.pumped:
		return h.upErr == nil
	case <-t.C:
		return false
	}
}
