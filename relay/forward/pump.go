package forward

import (
	"errors"
	"io"
)

// pump sends the rest of the request body while the reply may already be on its way.
func (h *hop) pump() {
	defer close(h.pumped)
	defer func() {
		if h.panicked = recover(); h.panicked != nil { // lose goes on with it where panics are contained
			h.breakOff(errPanicked)
		}
	}()
	chunked := h.x.request().chunked
	up := h.x.upload()
	var frame []byte
	for {
		p, err := up.next()
		if err != nil && !errors.Is(err, io.EOF) {
			h.breakOff(err)
			return
		}
		frame = frame[:0]
		if chunked {
			frame = h.appendFrame(frame, p, err)
		}
		if h.upErr = h.sendPiece(p, frame); h.upErr != nil || err != nil {
			return
		}
		if up.done() && !chunked {
			return
		}
	}
}

// breakOff ends an upload that cannot go on.
func (h *hop) breakOff(err error) {
	h.upErr = err
	h.fault.Store(true)
	_ = h.l.Conn.Close() // the upstream must not take the body for whole; readFinal notices
}

// appendFrame writes p as a chunk, or the end of the body.
func (h *hop) appendFrame(dst, p []byte, end error) []byte {
	if end != nil {
		return h.appendEnd(dst, nil)
	}
	dst = appendChunkSize(dst, len(p))
	return append(append(dst, p...), crlf...)
}

// sendPiece writes the frame if there is one, or else p. The upstream's time to answer starts anew.
func (h *hop) sendPiece(p, frame []byte) error {
	if len(frame) > 0 {
		p = frame
	}
	if len(p) == 0 {
		return nil
	}
	if err := h.l.write(p); err != nil {
		return err
	}
	h.arming.Lock()
	defer h.arming.Unlock()
	if !h.headSeen {
		h.l.g.read(h.u.o.HeaderTimeout)
	}
	return nil
}
