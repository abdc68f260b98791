package forward

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
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
	panicked any           // likewise
	fault    atomic.Bool   // the client broke its upload off; upErr follows
	arming   sync.Mutex    // headSeen and the limit that belongs to it
	headSeen bool
}

const wholeBody = 64 << 10 // bodies up to this are copied behind their head

func newHop() *hop { return &hop{out: make([]byte, 0, 4<<10)} }

func (u *Upstream) giveHop(t *task, h *hop) {
	if cap(h.out) > 2*wholeBody || cap(h.doc) > 2*wholeBody {
		return
	}
	out, doc, reply := h.out[:0], h.doc[:0], h.reply[:0]
	*h = hop{out: out, doc: doc, reply: reply}
	u.hops.give(t, h)
}

// run forwards the request and the reply.
func (h *hop) run() error {
	h.compose()
	if h.streamed {
		return h.stream()
	}
	return h.exchange()
}

// stream is exchange while the body is still coming: two goroutines are at work.
func (h *hop) stream() (err error) {
	h.x.of().aside(func() { err = h.exchange() })
	return err
}

func (h *hop) exchange() error {
	defer h.lose() // there is nothing left, unless it panics
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
	case h.u.network == "unix", h.u.closesSilently(): // unix sockets cannot tell what was read before a close
		return never
	default:
		return unrepeated
	}
}

// attempt sends the request and reads the reply up to the final head.
func (h *hop) attempt(r reuse) error {
	l, err := h.u.link(r, h.x.of())
	if err != nil {
		return err
	}
	h.l, h.heard = l, false
	h.x.attach(l)
	l.g.read(h.u.o.HeaderTimeout)
	unsent := h.send()
	if h.streamed {
		h.pumped = make(chan struct{})
		go h.pump() // awaited by settleUpload or lose
	}
	if err := h.readFinal(); err != nil { // a reply may be there even after a failed write
		l.reset = isReset(unsent) || isReset(err)
		return err
	}
	h.seen()
	return nil
}

// send sends what there is of the request, and may wait for the reply to begin.
func (h *hop) send() error {
	if !h.streamed && len(h.rest) == 0 && h.l.sock.raw != nil {
		return h.l.ask(h.out)
	}
	err := h.l.write(h.out)
	if err == nil && len(h.rest) > 0 {
		err = h.l.write(h.rest)
	}
	return err
}

// isReset recognises what the kernel says once, unless the other side had ended its half in order: then it is EPIPE.
func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// again reports whether the failed attempt may be repeated: the connection had been kept, nothing was
// heard, and the request either can be sent twice or was certainly not received.
func (h *hop) again(r reuse) bool {
	if h.l == nil || !h.l.used || h.heard || h.streamed || h.l.g.readOut.Load() {
		return false
	}
	h.u.noteClosed(h.l)
	return r == repeatable || h.l.untouched()
}

// lose gives the connection up and ends the upload. It panics if that has.
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
	if h.panicked != nil {
		panic(h.panicked)
	}
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
