package forward

import (
	"bufio"
	"errors"
	"log/slog"
	"sync"

	"github.com/valyala/fasthttp"
)

// Live is the body of a reply that goes on for as long as its client listens: an event stream. All
// methods are for the goroutine it was given to.
type Live struct {
	send    func(p []byte) error
	gone    chan struct{}
	closing <-chan struct{}
	err     error
}

// Write passes p on at once. A client that does not take it within Limits.WriteTimeout is lost; after an
// error every Write fails. p is not kept.
func (l *Live) Write(p []byte) error {
	if l.err == nil && len(p) > 0 {
		l.err = l.send(p)
	}
	return l.err
}

// Gone is closed when the client has closed its connection.
func (l *Live) Gone() <-chan struct{} { return l.gone }

// Closing is closed when the server begins to shut down: the body should end.
func (l *Live) Closing() <-chan struct{} { return l.closing }

// GoLive answers with the status and the header of ctx.Response, and with the body that run writes after
// the handler has returned. Meanwhile nothing of the request is kept in memory, ctx included: an idle reply
// costs two small goroutines. When run returns the reply ends whole, and so does an HTTP/1 connection.
func GoLive(ctx *fasthttp.RequestCtx, run func(*Live)) {
	if c, ok := ctx.Conn().(interface{ goLive(run func(*Live)) }); ok {
		c.goLive(run)
		return
	}
	ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		l := &Live{gone: make(chan struct{})}
		l.send = func(p []byte) error {
			if _, err := w.Write(p); err != nil {
				return err
			}
			return w.Flush()
		}
		run(l)
	})
}

func (c *client) goLive(run func(*Live)) { c.live = run }

// beginLive writes the head of a live reply. The body comes from runLive, when the work is given back.
func (c *client) beginLive() {
	r := &c.w.ctx.Response
	if c.w.head.isHead() {
		c.live = nil
		c.writeOwn()
		return
	}
	c.framing = byClose
	if c.modern() {
		c.framing = byChunks
		r.Header.SetContentLength(-1)
	} else {
		r.Header.SetContentLength(-2)
	}
	r.Header.SetConnectionClose()
	c.w.bw.Reset(c)
	err := r.Header.Write(c.w.bw)
	if err == nil {
		err = c.w.bw.Flush()
	}
	if err != nil {
		c.live = nil
		c.abort()
	}
}

// runLive gives the connection to the writer of a live reply until that returns.
func (c *client) runLive() {
	run := c.live
	c.live = nil
	l := &Live{send: c.sendLive, gone: make(chan struct{}), closing: c.s.closed}
	var listening sync.WaitGroup
	listening.Go(func() { c.awaitGone(l.gone) })
	err := guardLive(c.s.log, l, run)
	if err == nil && c.framing == byChunks {
		err = c.send([]byte("0\r\n\r\n"))
	}
	if err != nil {
		reset(c.Conn)
	}
	_ = c.SetReadDeadline(c.g.w.start) // wakes awaitGone; it fails only when closed, and then that is awake
	listening.Wait()
}

var errPanicked = errors.New("forward: a part of the exchange panicked")

func guardLive(log *slog.Logger, l *Live, run func(*Live)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("handler panicked", slog.Any("panic", p))
			err = errPanicked
		}
	}()
	run(l)
	return l.err
}

// awaitGone closes gone when the client has. What a client sends meanwhile is thrown away.
func (c *client) awaitGone(gone chan struct{}) {
	defer close(gone)
	c.rd.consume(len(c.rd.buffered()))
	c.rd.release()
	for c.rd.fill(0) == nil {
		c.rd.consume(len(c.rd.buffered()))
	}
}

// sendLive writes p in pieces that a client must take in time, each as one chunk.
func (c *client) sendLive(p []byte) error {
	for len(p) > 0 {
		unit := p[:min(len(p), sendUnit)]
		if err := c.sendUnit(unit); err != nil {
			return err
		}
		p = p[len(unit):]
	}
	return nil
}

func (c *client) sendUnit(p []byte) error {
	if c.framing != byChunks {
		return c.send(p)
	}
	var size [10]byte
	return c.sendPieces(appendChunkSize(size[:0], len(p)), p, crlf)
}
