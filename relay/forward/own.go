package forward

import (
	"errors"
	"io"
	"net"
	"strconv"

	"github.com/valyala/fasthttp"
)

// rejection is an answer of the hop's own (RFC 9457).
type rejection struct {
	status int
	detail string
}

func (r rejection) body() []byte {
	b := append([]byte(`{"type":"about:blank","title":"`), fasthttp.StatusMessage(r.status)...)
	b = append(b, `","status":`...)
	b = strconv.AppendInt(b, int64(r.status), 10)
	b = append(b, `,"detail":`...)
	b = strconv.AppendQuote(b, r.detail) // only constant ASCII sentences come here
	return append(b, '}')
}

// problem writes r to ctx.Response.
func problem(ctx *fasthttp.RequestCtx, r rejection) {
	ctx.Response.Reset()
	ctx.SetStatusCode(r.status)
	ctx.SetContentType("application/problem+json")
	ctx.Response.Header.Set("Cache-Control", "no-store")
	ctx.SetBody(r.body())
}

// reject answers a request that could not be read, if there is anybody to answer.
func (c *client) reject(err error) {
	r, limit := rejectionOf(err)
	switch {
	case c.g.readOut.Load():
		r, limit = rejection{408, "The request head took too long (limits.header_timeout)."}, "header_timeout"
	case limit == "" && (errors.Is(err, io.EOF) || isNet(err)):
		return
	}
	if limit != "" {
		c.s.excess.WithLabelValues(limit).Inc()
	}
	c.refuse(r)
}

// rejectionOf says what to answer to a request whose head is err, and which limit it is over, if any.
func rejectionOf(err error) (r rejection, limit string) {
	switch {
	case errors.Is(err, errTooManyFields):
		return rejection{431, "The request has too many header lines (limits.header_count)."}, "header_count"
	case errors.Is(err, errHeadTooLarge):
		return rejection{431, "The request head is too large (limits.header_bytes)."}, "header_bytes"
	case errors.Is(err, errTargetTooLong):
		return rejection{414, "The request target is too long (limits.uri_bytes)."}, "uri_bytes"
	}
	return rejection{400, "The request is malformed or ambiguous."}, ""
}

func isNet(err error) bool {
	var n net.Error
	return errors.As(err, &n)
}

// refuse writes r and closes.
func (c *client) refuse(r rejection) {
	body := r.body()
	b := append([]byte("HTTP/1.1 "), strconv.Itoa(r.status)...)
	b = append(append(append(b, ' '), fasthttp.StatusMessage(r.status)...), "\r\n"...)
	b = append(b, "Content-Type: application/problem+json\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: "...)
	b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n\r\n"...)
	if c.send(append(b, body...)) == nil {
		c.linger()
	}
}

// writeOwn writes ctx.Response.
func (c *client) writeOwn() {
	c.replied = true
	r := &c.w.ctx.Response
	if c.w.head.isHead() {
		r.SkipBody = true
	}
	c.keep = c.keep && !r.Header.ConnectionClose() && !c.s.closing.Load() && c.drainable()
	switch {
	case !c.keep:
		r.Header.SetConnectionClose()
	case !c.modern():
		r.Header.Set("Connection", "keep-alive")
	}
	c.w.bw.Reset(c)
	err := r.Write(c.w.bw)
	if err == nil {
		err = c.w.bw.Flush()
	}
	if err != nil {
		c.abort()
	}
}
