package relay

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/policy/oauth"
)

const browserLife = time.Hour

// authorizeRequest answers for the pages that a browser sees. They are for people: no CORS, no
// frames, nothing kept.
func (r *Relay) authorizeRequest(work context.Context, ctx *fasthttp.RequestCtx, path string) {
	isReading := isRead(ctx.Method())
	switch {
	case path == callbackPath && isReading:
		r.finishSignIn(work, ctx)
	case path == sessionPath:
		r.sessionRequest(work, ctx)
	case path == rootAuthorizePath:
		r.askAtRoot(work, ctx)
	case path == authorizePath && isReading:
		r.askConsent(work, ctx, oauth.Own)
	case path == authorizePath && isPost(ctx.Method()):
		r.answerConsent(work, ctx)
	default:
		ctx.Response.Header.Set(fasthttp.HeaderAllow, "GET, HEAD")
		r.refuse(ctx, problem{Status: fasthttp.StatusMethodNotAllowed, Detail: "This address is for a browser."})
	}
}

// askAtRoot takes requests of clients named by a URL, who know only the instance's address; every
// other application's go on as they came.
func (r *Relay) askAtRoot(work context.Context, ctx *fasthttp.RequestCtx) {
	if !oauth.IsClient(string(ctx.QueryArgs().Peek("client_id"))) {
		r.web.Pass(ctx)
		r.forgetRefused(ctx)
		return
	}
	r.askConsent(work, ctx, oauth.Root)
}

// askConsent shows the page that names the client.
func (r *Relay) askConsent(work context.Context, ctx *fasthttp.RequestCtx, entry oauth.Entry) {
	consent, err := r.ask(work, ctx, entry)
	r.showConsent(ctx, consent, err)
}

func (r *Relay) ask(work context.Context, ctx *fasthttp.RequestCtx, entry oauth.Entry) (oauth.Consent, error) {
	if err := r.admitSignIn(ctx); err != nil {
		return oauth.Consent{}, err
	}
	query, err := once(string(ctx.URI().QueryString()))
	if err != nil {
		return oauth.Consent{}, err
	}
	return r.signIn.server.Ask(work, oauth.Request{
		Entry: entry, ClientID: query.Get("client_id"), Redirect: query.Get("redirect_uri"),
		ResponseType: query.Get("response_type"), Scope: query.Get("scope"), State: query.Get("state"),
		Challenge: query.Get("code_challenge"), Method: query.Get("code_challenge_method"),
	}, r.rememberBrowser(ctx))
}

// answerConsent takes the person's yes or no. Only our own page may have sent it.
func (r *Relay) answerConsent(work context.Context, ctx *fasthttp.RequestCtx) {
	location, err := r.consented(work, ctx)
	r.signIn.count("consent", err)
	r.goTo(ctx, location, err)
}

func (r *Relay) consented(work context.Context, ctx *fasthttp.RequestCtx) (string, error) {
	if err := r.admitSignIn(ctx); err != nil {
		return "", err
	}
	if !r.isSameOrigin(ctx) {
		return "", errForeignPage
	}
	form, err := readForm(ctx)
	if err != nil {
		return "", err
	}
	if form.Get("answer") == "allow" {
		return r.signIn.server.Allow(work, form.Get("ticket"), r.browser(ctx))
	}
	return r.signIn.server.Deny(form.Get("ticket"), r.browser(ctx))
}

// finishSignIn is where the instance sends the browser back to.
func (r *Relay) finishSignIn(work context.Context, ctx *fasthttp.RequestCtx) {
	location, err := r.finished(work, ctx)
	r.signIn.count("finish", err)
	r.goTo(ctx, location, err)
}

func (r *Relay) finished(work context.Context, ctx *fasthttp.RequestCtx) (string, error) {
	if err := r.admitSignIn(ctx); err != nil {
		return "", err
	}
	query, err := once(string(ctx.URI().QueryString()))
	if err != nil {
		return "", err
	}
	return r.signIn.server.Finish(work, oauth.Return{
		State: query.Get("state"), Code: query.Get("code"), Error: query.Get("error"),
	}, r.browser(ctx))
}

// goTo sends the browser on, or says why not.
func (r *Relay) goTo(ctx *fasthttp.RequestCtx, location string, err error) {
	if err != nil {
		r.failPage(ctx, err)
		return
	}
	pageHeaders(ctx)
	ctx.Response.Header.Set(fasthttp.HeaderLocation, location)
	writeEmpty(ctx, fasthttp.StatusSeeOther)
}

var errForeignPage = errors.New("relay: a form from another site")

// isSameOrigin tells whether our own page sent a form. Browsers say so in one of two ways; what says
// neither is no browser of today.
func (r *Relay) isSameOrigin(ctx *fasthttp.RequestCtx) bool {
	if site := value(&ctx.Request.Header, "Sec-Fetch-Site"); site != nil {
		return string(site) == "same-origin"
	}
	return strings.EqualFold(string(value(&ctx.Request.Header, fasthttp.HeaderOrigin)), r.base)
}

// browser is the secret in the browser's cookie, or "".
func (r *Relay) browser(ctx *fasthttp.RequestCtx) string {
	secret := cookieOf(ctx, r.signIn.cookie)
	if len(secret) != len(oauth.Random()) {
		return ""
	}
	return secret
}

// rememberBrowser gives the browser a secret, or keeps the one it has: two sign-ins may be under way
// in two of its windows. Lax, because an instance may send people to yet another site to sign in.
func (r *Relay) rememberBrowser(ctx *fasthttp.RequestCtx) string {
	secret := r.browser(ctx)
	if secret == "" {
		secret = oauth.Random()
	}
	r.setCookie(ctx, cookie{r.signIn.cookie, secret, browserLife, fasthttp.CookieSameSiteLaxMode})
	return secret
}

// originOf is what a form may lead to in a page's policy: the origin of a web address, else its
// scheme.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	if u.Host == "" {
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}
