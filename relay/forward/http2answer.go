package forward

import (
	"context"
	"net/http"
	"strconv"
)

// The reply of an HTTP/2 exchange.

// interim passes a 1xx reply on. The library itself says 100 when the body is asked for.
func (x *stream2) interim(h *head) error { //nolint:unparam // over HTTP/1.1 it can fail
	if h.status == http.StatusContinue {
		return nil
	}
	setHead2(x.out.Header(), h)
	x.out.WriteHeader(h.status)
	clear(x.out.Header())
	return nil
}

// start begins the final reply. From here on a client that goes ends the exchange.
func (x *stream2) start(h *head, _ framing) {
	x.replied = true
	setHead2(x.out.Header(), h)
	x.out.WriteHeader(h.status)
	clear(x.out.Header()) // what is in it at the end would be trailers
	x.stops = append(x.stops, context.AfterFunc(x.r.Context(), x.sever))
}

func (x *stream2) write(p []byte) error {
	for len(p) > 0 {
		unit := p[:min(len(p), sendUnit)]
		x.g.write(x.m.s.limits.WriteTimeout)
		_, err := x.out.Write(unit)
		if err = x.wrote(err); err != nil {
			return err
		}
		p, x.dirty = p[len(unit):], true
	}
	return nil
}

func (x *stream2) flush() error {
	if !x.dirty {
		return nil
	}
	x.dirty = false
	x.g.write(x.m.s.limits.WriteTimeout)
	return x.wrote(x.ctl.Flush())
}

func (x *stream2) wrote(err error) error {
	x.g.write(0)
	if err != nil && x.g.writeOut.Load() {
		x.m.s.excess.WithLabelValues("write_timeout").Inc()
		return ErrSlow
	}
	return err
}

// finish ends the reply: the library sends what is left when the handler returns.
func (x *stream2) finish(trailers []byte) error {
	var h head
	h.reset(append(append([]byte(nil), trailers...), crlf...))
	if len(trailers) > 0 && h.parseFields(maxReplyFields) == nil {
		for i := range h.fields {
			f := &h.fields[i]
			x.out.Header().Add(http.TrailerPrefix+http.CanonicalHeaderKey(string(h.name(f))), string(h.val(f)))
		}
	}
	return x.flush()
}

// abort ends the stream with an error.
func (x *stream2) abort() { x.replied, x.broken = true, true }

// reject answers a request that could not be read.
func (x *stream2) reject(err error) {
	r, limit := rejectionOf(err)
	if limit != "" {
		x.m.s.excess.WithLabelValues(limit).Inc()
	}
	x.refuse(r)
}

// refuse answers r.
func (x *stream2) refuse(r rejection) {
	x.replied = true
	body := r.body()
	h := x.out.Header()
	clear(h)
	h["Content-Type"] = []string{"application/problem+json"}
	h["Cache-Control"] = []string{"no-store"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.out.WriteHeader(r.status)
	_ = x.sendLive(body) // it is the last word
}

// writeOwn writes ctx.Response.
func (x *stream2) writeOwn() {
	x.replied = true
	r := &x.w.ctx.Response
	x.setOwnHead()
	var body []byte
	if x.live == nil {
		body = r.Body()
		if r.StatusCode() >= 200 && r.StatusCode() != 204 && r.StatusCode() != 304 {
			x.out.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
		}
	}
	x.out.WriteHeader(r.StatusCode())
	if x.w.head.isHead() {
		x.live = nil
		return
	}
	x.dirty = x.live != nil // its head goes out before there is anything else
	if x.write(body) != nil || x.flush() != nil {
		x.abort()
	}
}

func (x *stream2) setOwnHead() {
	h := x.out.Header()
	clear(h)
	h["Content-Type"], h["Content-Length"] = nil, nil
	for name, value := range x.w.ctx.Response.Header.All() {
		switch kindOf(name) {
		case connection, hopByHop, transferEncoding, upgrade, contentLength:
		default:
			key := http.CanonicalHeaderKey(string(name))
			h[key] = append(h[key], string(value))
		}
	}
}

func (x *stream2) sendLive(p []byte) error {
	if err := x.write(p); err != nil {
		return err
	}
	return x.flush()
}

func (x *stream2) goLive(run func(*Live)) { x.live = run }

// runLive lets the writer of a live reply write.
func (x *stream2) runLive() {
	run := x.live
	if run == nil || x.broken {
		return
	}
	gone := make(chan struct{})
	x.stops = append(x.stops, context.AfterFunc(x.r.Context(), func() { close(gone) }))
	l := &Live{send: x.sendLive, gone: gone, closing: x.m.s.closed}
	if err := guardLive(x.m.s.log, l, run); err != nil {
		x.abort()
	}
}
