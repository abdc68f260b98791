package forward

import (
	"errors"
	"io"
	"time"
)

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
		defer h.x.listens()()
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
	h.x.start(hd, f)
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
