package forward

import (
	"bufio"
	"bytes"
	"io"
	"log/slog"
	"net"

	"github.com/valyala/fasthttp"
)

// work is what serving one request needs besides its connection. It is reused.
type work struct {
	raw    []byte // the request head
	head   head
	out    []byte // the reply on its way to the client
	ctx    fasthttp.RequestCtx
	stream stream
	begun  bool // ctx holds a request; after a panic it is not for another

	plainHead []byte // raw without Trailer lines
	bytes     bytes.Reader
	bw        *bufio.Writer
}

const outSize = 8 << 10 // reply bytes gathered before they are written

func newWork() *work {
	w := &work{out: make([]byte, 0, outSize)}
	w.bw = bufio.NewWriterSize(io.Discard, outSize)
	return w
}

func (s *Server) giveWork(t *task, w *work) {
	if w.begun || cap(w.out) > 4*outSize || cap(w.raw) > 4*outSize {
		return
	}
	w.stream = stream{}
	w.bw.Reset(io.Discard)
	s.works.give(t, w)
}

// begin makes the request visible to fasthttp handlers.
func (w *work) begin(c net.Conn) {
	w.begun = true
	w.ctx.Init2(c, silent{}, false)
	w.ctx.Request.Header.DisableNormalizing()
	w.ctx.Response.Header.DisableNormalizing()
	w.ctx.Request.Header.SetNoDefaultContentType(true)
	w.ctx.Response.Header.SetNoDefaultContentType(true)
}

// parse fills fasthttp's view of the head. The hop has checked it already; what fasthttp refuses beyond
// that is refused.
func (s *Server) parse(w *work, up reading) error {
	w.bytes.Reset(w.withoutTrailer())
	t := up.of()
	br := s.parsers.take(t) // not w's: a request may go on for hours
	br.Reset(&w.bytes)
	err := w.ctx.Request.Header.Read(br)
	br.Reset(nil)
	s.parsers.give(t, br)
	if err != nil {
		return err
	}
	if w.head.chunked || w.head.length > 0 {
		w.stream = stream{up: up}
		w.ctx.Request.SetBodyStream(&w.stream, w.size())
	}
	return nil
}

func (w *work) size() int {
	if w.head.chunked {
		return -1
	}
	return int(w.head.length)
}

// withoutTrailer returns the head without Trailer lines, of which fasthttp refuses some.
func (w *work) withoutTrailer() []byte {
	h := &w.head
	if !h.announces {
		return w.raw
	}
	w.plainHead = append(w.plainHead[:0], h.raw[:h.line]...)
	for i := range h.fields {
		if f := &h.fields[i]; f.kind != trailer {
			w.plainHead = append(w.plainHead, h.raw[f.start:f.end]...)
		}
	}
	w.plainHead = append(w.plainHead, '\r', '\n')
	return w.plainHead
}

func (w *work) end() {
	w.ctx.Request.Reset()
	w.ctx.Response.Reset()
	w.begun = false
}

// silent is fasthttp's logger: what it says may quote what strangers sent.
type silent struct{}

// Printf says nothing.
func (silent) Printf(string, ...any) {}

// reading is what a stream reads from.
type reading interface {
	of() *task
	tell100() error
	next() ([]byte, error)
}

// stream is the request body as an io.Reader, for handlers that read it themselves.
type stream struct {
	up   reading
	rest []byte
	err  error
}

// Read reads the body; a client that waits for 100 Continue gets it first.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		if s.err = s.up.tell100(); s.err != nil {
			continue
		}
		s.rest, s.err = s.up.next()
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// handle runs the handler and answers for it if it panics.
func (c *client) handle() {
	defer func() {
		if p := recover(); p != nil {
			c.s.log.Error("handler panicked", slog.Any("panic", p))
			c.keep, c.live = false, nil
			if c.replied {
				c.abort()
				return
			}
			problem(&c.w.ctx, rejection{500, "The gateway failed."})
			c.writeOwn()
		}
	}()
	if err := c.s.parse(c.w, c); err != nil {
		c.reject(err)
		c.keep = false
		return
	}
	c.s.o.Handler(&c.w.ctx)
	switch {
	case c.replied:
	case c.live != nil:
		c.beginLive()
	default:
		c.writeOwn()
	}
}
