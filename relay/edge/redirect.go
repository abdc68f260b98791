package edge

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"
)

// challengePath is below what HTTP-01 asks (RFC 8555 §8.3).
const challengePath = "/.well-known/acme-challenge/"

// Redirect answers on plain listeners: HTTP-01 challenges itself, everything else with where it is now.
type Redirect struct {
	// Base is where to go: https://{domain}, without a slash at the end.
	Base string
	// Challenge answers an HTTP-01 challenge; nil: there are none. See ACME.Challenge.
	Challenge func(path string) ([]byte, bool)
}

// Handle answers one request. GET and HEAD are redirected with 301; others with 308, which keeps method
// and body (RFC 9110 §15.4.9).
func (r Redirect) Handle(ctx *fasthttp.RequestCtx) {
	path := ctx.Request.Header.RequestURI()
	if r.Challenge != nil && bytes.HasPrefix(path, []byte(challengePath)) && ctx.IsGet() {
		if body, ok := r.Challenge(string(path)); ok {
			ctx.SetContentType("application/octet-stream")
			ctx.Response.Header.Set("Cache-Control", "no-store")
			ctx.SetBody(body)
			return
		}
	}
	to, ok := targetOf(string(path))
	if !ok {
		ctx.Response.Header.Set("Cache-Control", "no-store")
		ctx.SetStatusCode(fasthttp.StatusBadRequest)
		return
	}
	ctx.SetStatusCode(fasthttp.StatusPermanentRedirect)
	if ctx.IsGet() || ctx.IsHead() {
		ctx.SetStatusCode(fasthttp.StatusMovedPermanently)
	}
	ctx.Response.Header.Set("Location", r.Base+to)
	ctx.Response.Header.Set("Cache-Control", "max-age=3600")
}

// targetOf returns the origin form of a request target: path and query as they came. The host a client
// names is never a place to go.
func targetOf(raw string) (string, bool) {
	if strings.HasPrefix(raw, "/") {
		return raw, true
	}
	_, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return "", false
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 && rest[i] == '/' {
		return rest[i:], true
	}
	return "/", true
}
