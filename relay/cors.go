package relay

import (
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

const (
	allowedHeaders = "Authorization, Content-Type, Accept, Cache-Control, Pragma, Last-Event-ID"
	exposedHeaders = "Location, X-Activity-Id, Retry-After"
)

// allowOrigin lets any page read the answer; a token, never a cookie, says who
// is asking, so credentials are not allowed.
func allowOrigin(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set(fasthttp.HeaderAccessControlAllowOrigin, "*")
	ctx.Response.Header.Set(fasthttp.HeaderAccessControlExposeHeaders, exposedHeaders)
}

// passPreflight answers a preflight for the instance's own path; any other OPTIONS goes on as it came.
func (r *Relay) passPreflight(ctx *fasthttp.RequestCtx) {
	if value(&ctx.Request.Header, fasthttp.HeaderAccessControlRequestMethod) == nil {
		r.web.Pass(ctx)
		return
	}
	allowOrigin(ctx)
	preflight(ctx, "GET, HEAD, OPTIONS")
}

// preflight answers a browser's question before the request itself.
func preflight(ctx *fasthttp.RequestCtx, methods string) {
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderAccessControlAllowMethods, methods)
	h.Set(fasthttp.HeaderAccessControlAllowHeaders, allowedHeaders)
	h.Set(fasthttp.HeaderAccessControlMaxAge, "86400")
	h.Set(fasthttp.HeaderAllow, methods)
	writeEmpty(ctx, fasthttp.StatusNoContent)
}

// only answers preflights and wrong methods; true: go on.
func (r *Relay) only(ctx *fasthttp.RequestCtx, methods string) bool {
	allowOrigin(ctx)
	method := string(ctx.Method())
	if method == fasthttp.MethodOptions {
		preflight(ctx, methods+", OPTIONS")
		return false
	}
	if slices.Contains(strings.Split(methods, ", "), method) {
		return true
	}
	ctx.Response.Header.Set(fasthttp.HeaderAllow, methods+", OPTIONS")
	r.refuse(ctx, problem{Status: fasthttp.StatusMethodNotAllowed, Detail: "This address takes " + methods + "."})
	return false
}
