package relay

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/valyala/fasthttp"
)

// maxRevocation bounds the body of a POST to /oauth/revoke that is read on its
// way; the token of one that passes unread is asked about again within a minute anyway.
const maxRevocation = 16 << 10

// bearer is the token of RFC 6750 §2.1.
func bearer(ctx *fasthttp.RequestCtx) (string, bool) {
	scheme, token, ok := strings.Cut(string(value(&ctx.Request.Header, fasthttp.HeaderAuthorization)), " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// revoke passes a revocation on and forgets the token it names, whatever the
// instance answers: to ask once too often is safe.
func (r *Relay) revoke(ctx *fasthttp.RequestCtx) {
	body, ok := r.readOrPass(ctx, maxRevocation)
	if !ok {
		return
	}
	token := revoked(ctx.Request.Header.ContentType(), body)
	if r.issued(token) {
		r.revokeAtRoot(ctx, token)
		return
	}
	r.web.PassBody(ctx, body)
	if token != "" {
		r.people.Forget(token)
	}
}

// readOrPass reads a small body on its way to the instance. A larger one, or one of
// unknown length, it passes on unread; then, and when the body is cut short, the
// request is answered and there is nothing left to do: false.
func (r *Relay) readOrPass(ctx *fasthttp.RequestCtx, limit int) ([]byte, bool) {
	size, stream := ctx.Request.Header.ContentLength(), ctx.RequestBodyStream()
	if stream == nil || size <= 0 || size > limit {
		r.web.Pass(ctx)
		return nil, false
	}
	body, err := io.ReadAll(io.LimitReader(stream, int64(limit)))
	if err != nil {
		ctx.SetConnectionClose()
		r.fail(ctx, fmt.Errorf("%w: %w", errTruncated, err))
		return nil, false
	}
	return body, true
}

// revoked is the token in the body of a revocation (RFC 7009 §2.1), which
// Mastodon also takes as JSON.
func revoked(kind, body []byte) string {
	if containsFold(kind, "json") {
		var form struct {
			Token string `json:"token"`
		}
		_ = json.Unmarshal(body, &form)
		return form.Token
	}
	form := fasthttp.AcquireArgs()
	defer fasthttp.ReleaseArgs(form)
	form.ParseBytes(body)
	return string(form.Peek("token"))
}

// forgetRefused drops what is remembered about a token that the instance has
// just answered with 401.
func (r *Relay) forgetRefused(ctx *fasthttp.RequestCtx) {
	if ctx.Response.StatusCode() != fasthttp.StatusUnauthorized {
		return
	}
	if token, ok := bearer(ctx); ok {
		r.people.Forget(token)
	}
}
