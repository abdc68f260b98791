package relay

import "github.com/valyala/fasthttp"

const (
	readMethods    = "GET, HEAD, OPTIONS"
	allowedHeaders = "Authorization, Content-Type, Accept, Cache-Control, Pragma, Last-Event-ID"
	exposedHeaders = "Location, X-Activity-Id, Retry-After"
)

// allowOrigin lets any page read the answer; a token, never a cookie, says who
// is asking, so credentials are not allowed.
func allowOrigin(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set(fasthttp.HeaderAccessControlAllowOrigin, "*")
	ctx.Response.Header.Set(fasthttp.HeaderAccessControlExposeHeaders, exposedHeaders)
}

// preflight answers a browser's question before the request itself.
func preflight(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderAccessControlAllowMethods, readMethods)
	h.Set(fasthttp.HeaderAccessControlAllowHeaders, allowedHeaders)
	h.Set(fasthttp.HeaderAccessControlMaxAge, "86400")
	h.Set(fasthttp.HeaderAllow, readMethods)
	writeEmpty(ctx, fasthttp.StatusNoContent)
}
