package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/policy/oauth"
)

// CookiePrefix is the name of the gateway's own cookie for pages on the instance's origin, and what the
// names of its other cookies begin with. The instance never sees them: they are removed from what is
// forwarded. Browsers keep __Host- for https; plain http is for loopback.
func CookiePrefix(base string) string {
	if schemeOf(base) == "http" {
		return "sealgate"
	}
	return "__Host-sealgate"
}

// shown is the access token that a request shows: a Bearer token, or the session cookie when one of
// our own origin's pages sends it.
func (r *Relay) shown(ctx *fasthttp.RequestCtx) (string, bool) {
	if len(value(&ctx.Request.Header, fasthttp.HeaderAuthorization)) > 0 {
		return bearer(ctx)
	}
	if r.signIn == nil || !r.isOwnPage(ctx) {
		return "", false
	}
	token := cookieOf(ctx, CookiePrefix(r.base))
	return token, oauth.IsToken(token)
}

// isOwnPage tells whether no other site's page caused a request. What only reads may also come from
// the address bar, or from a browser that does not say; another site's page could not read the answer.
func (r *Relay) isOwnPage(ctx *fasthttp.RequestCtx) bool {
	h := &ctx.Request.Header
	switch site := value(h, "Sec-Fetch-Site"); {
	case r.isSameOrigin(ctx):
		return true
	case !isRead(ctx.Method()):
		return false
	case site != nil:
		return string(site) == "none"
	}
	return value(h, fasthttp.HeaderOrigin) == nil
}

// sessionRequest signs a browser in for the pages of our own origin, and out. ?return= is the page it
// came from.
func (r *Relay) sessionRequest(work context.Context, ctx *fasthttp.RequestCtx) {
	query := ctx.QueryArgs()
	switch method := string(ctx.Method()); {
	case method == fasthttp.MethodDelete:
		r.closeSession(work, ctx)
	case !isRead(ctx.Method()):
		ctx.Response.Header.Set(fasthttp.HeaderAllow, "GET, HEAD, DELETE")
		r.refuse(ctx, problem{Status: fasthttp.StatusMethodNotAllowed, Detail: "This address takes GET, HEAD, DELETE."})
	case query.Has("code") || query.Has("error"):
		err := r.openSession(work, ctx, string(query.Peek("code")))
		r.signIn.count("session", err)
		r.goTo(ctx, localPath(string(query.Peek("state"))), err)
	default:
		r.askSession(work, ctx, localPath(string(query.Peek("return"))))
	}
}

func (r *Relay) askSession(work context.Context, ctx *fasthttp.RequestCtx, to string) {
	err := r.admitSignIn(ctx)
	var consent oauth.Consent
	if err == nil {
		consent, err = r.signIn.server.AskSession(work, to, r.rememberBrowser(ctx))
	}
	r.showConsent(ctx, consent, err)
}

// openSession gives the browser its cookie in return for a code; without one the person said no. The
// session that the browser had ends.
func (r *Relay) openSession(work context.Context, ctx *fasthttp.RequestCtx, code string) error {
	if code == "" {
		return nil
	}
	if err := r.admitSignIn(ctx); err != nil {
		return err
	}
	tokens, err := r.signIn.server.OpenSession(work, code, r.browser(ctx))
	if refusal, ok := errors.AsType[*oauth.Refusal](err); ok {
		return fmt.Errorf("%w: %s", oauth.ErrBrowser, refusal.Detail)
	}
	if err != nil {
		return err
	}
	before := cookieOf(ctx, CookiePrefix(r.base))
	r.setCookie(ctx, cookie{CookiePrefix(r.base), tokens.Access, tokens.Expires, fasthttp.CookieSameSiteStrictMode})
	return r.signIn.server.Revoke(work, before, "")
}

// closeSession ends the session of the browser that asks: 204, also when there was none.
func (r *Relay) closeSession(work context.Context, ctx *fasthttp.RequestCtx) {
	err := r.admitSignIn(ctx)
	if err == nil && !r.isSameOrigin(ctx) {
		err = errForeignPage
	}
	if err == nil {
		err = r.signIn.server.Revoke(work, cookieOf(ctx, CookiePrefix(r.base)), "")
	}
	r.signIn.count("session_end", err)
	if err != nil {
		r.fail(ctx, err)
		return
	}
	r.setCookie(ctx, cookie{CookiePrefix(r.base), "", 0, fasthttp.CookieSameSiteStrictMode})
	writeEmpty(ctx, fasthttp.StatusNoContent)
}

// localPath is an address on our own origin, "/" for all others.
func localPath(address string) string {
	u, err := url.Parse(address)
	isLocal := err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(address, "/")
	if !isLocal || strings.HasPrefix(address, "//") || strings.ContainsAny(address, "\\\r\n\t") {
		return "/"
	}
	return u.String()
}

// cookie is one of the gateway's own.
type cookie struct {
	name, value string
	life        time.Duration // 0: it ends
	site        fasthttp.CookieSameSite
}

func (r *Relay) setCookie(ctx *fasthttp.RequestCtx, one cookie) {
	var c fasthttp.Cookie
	c.SetKey(one.name)
	c.SetValue(one.value)
	c.SetPath("/")
	c.SetMaxAge(int(one.life / time.Second))
	if one.life == 0 {
		c.SetExpire(fasthttp.CookieExpireDelete)
	}
	c.SetHTTPOnly(true)
	c.SetSecure(schemeOf(r.base) == "https")
	c.SetSameSite(one.site)
	ctx.Response.Header.SetCookie(&c)
}

// cookieOf is the value of a cookie, "" when there is none.
func cookieOf(ctx *fasthttp.RequestCtx, name string) string {
	for line := range values(&ctx.Request.Header, fasthttp.HeaderCookie) {
		for pair := range bytes.SplitSeq(line, []byte(";")) {
			if n, v, _ := strings.Cut(strings.TrimSpace(string(pair)), "="); n == name {
				return v
			}
		}
	}
	return ""
}
