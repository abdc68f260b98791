package relay

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"html/template"
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/policy/oauth"
)

// pageStyle is all the style there is; its hash is in the pages' policy.
const pageStyle = `:root{color-scheme:light dark;--bg:#f6f6f4;--card:#fff;--ink:#1d2226;--dim:#5d666d;--line:#dcdcd8;--link:#1f5fa8;--on:#fff}` +
	`@media (prefers-color-scheme:dark){:root{--bg:#15181b;--card:#1e2327;--ink:#e8eaec;--dim:#9aa5ad;--line:#343b41;--link:#7fb3ec;--on:#10151a}}` +
	`body{margin:0;padding:1rem;background:var(--bg);color:var(--ink);font:1.05rem/1.55 system-ui,sans-serif;overflow-wrap:anywhere}` +
	`main{max-width:36rem;margin:5vh auto 0;padding:1.2rem;background:var(--card);border:1px solid var(--line);border-radius:.9rem}` +
	`h1{font-size:1.4rem;line-height:1.3;margin:0 0 .8rem}h2{font-size:1.15rem}p.small{color:var(--dim);font-size:.9rem}main>:last-child{margin-bottom:0}` +
	`button{font:inherit;padding:.6rem 1.2rem;margin:0 .4rem .4rem 0;border:1px solid var(--link);border-radius:.6rem;background:var(--link);color:var(--on);cursor:pointer}` +
	`button.quiet{background:none;color:var(--link)}`

const pageText = `{{define "head"}}<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.Title}}</title><style>` + pageStyle + `</style></head><body><main>{{end}}
{{define "consent"}}{{template "head" .}}
<h1>{{.Title}}</h1>
<p><strong>{{.Host}}</strong> wants to use your account {{if eq .Host .Domain}}in this browser{{else}}on <strong>{{.Domain}}</strong>{{end}} for encrypted messages:</p>
<ul><li>to read the encrypted messages that you receive</li>
{{if .Writes}}<li>to send encrypted messages as you, and to publish your device's keys</li>{{end}}</ul>
{{if .Name}}<p class="small">It calls itself “{{.Name}}”. Nobody has checked that.</p>{{end}}
{{if .Elsewhere}}<p class="small">Afterwards your browser goes to <strong>{{.Elsewhere}}</strong>.</p>{{end}}
<form method="post" action="` + authorizePath + `"><input type="hidden" name="ticket" value="{{.Ticket}}">
<p><button name="answer" value="allow">Allow and sign in</button><button class="quiet" name="answer" value="deny">Cancel</button></p></form>
<p class="small">Go on only if you came from {{.Host}} just now.</p>
</main></body></html>{{end}}
{{define "problem"}}{{template "head" .}}
<h1>{{.Title}}</h1><p>{{.Sentence}}</p>{{if .Why}}<p class="small">{{.Why}}</p>{{end}}
</main></body></html>{{end}}`

func newPages() *template.Template { return template.Must(template.New("pages").Parse(pageText)) }

// consentPage is what the page of consent shows.
type consentPage struct {
	Title, Host, Domain, Name, Elsewhere, Ticket string
	Writes                                       bool
}

// showConsent ends the step of asking: it shows what is to be allowed, or says why nothing can be.
func (r *Relay) showConsent(ctx *fasthttp.RequestCtx, c oauth.Consent, err error) {
	r.signIn.count("ask", err)
	if err != nil {
		r.failPage(ctx, err)
		return
	}
	p := consentPage{
		Title: "Sign in to " + c.Client.Host + "?", Host: c.Client.Host, Domain: r.domain,
		Name: c.Client.Name, Ticket: c.Ticket, Writes: slices.Contains(c.Scopes, "write"),
	}
	if u, err := url.Parse(c.Redirect); err == nil && !strings.EqualFold(u.Host, c.Client.Host) {
		p.Elsewhere = originOf(c.Redirect)
	}
	// Chromium holds redirects after a form to form-action too: the way ends at the client.
	r.showPage(ctx, page{status: fasthttp.StatusOK, name: "consent", data: p, leadsTo: originOf(c.Redirect)})
}

// problemPage is what a person reads when a sign-in cannot go on.
type problemPage struct{ Title, Sentence, Why string }

// failPage says what is wrong to a person, or sends the browser back to a client that is to be told.
func (r *Relay) failPage(ctx *fasthttp.RequestCtx, err error) {
	if returned, ok := errors.AsType[*oauth.Returned](err); ok {
		r.log.Debug("sign-in ended", "error", err)
		r.goTo(ctx, returned.Location, nil)
		return
	}
	a := answerTo(err, pageAnswers)
	p := problemPage{Title: "This sign-in cannot go on", Sentence: a.detail}
	if a.explain {
		p.Why = plain(err)
	}
	if a.status >= fasthttp.StatusInternalServerError {
		r.log.Warn("sign-in could not go on", "error", err)
	} else {
		r.log.Debug("sign-in refused", "error", err)
	}
	r.showPage(ctx, page{status: a.status, name: "problem", data: p})
}

// pageAnswers is what people are told whose sign-in cannot go on.
var pageAnswers = []answer{
	{oauth.ErrClient, 400, "The app that sent you here could not be verified, so you are not sent back to it. Its makers can read why:", true},
	{oauth.ErrBrowser, 400, "It did not begin in this browser, took too long, or was finished before. Go back to your app and begin anew.", false},
	{errForm, 400, "The request of the app that sent you here cannot be read.", true},
	{errForeignPage, 403, "Another site tried to answer for you. Nothing was allowed.", false},
	{errTooOften, 429, "There were too many sign-ins from your address. Try again in a minute.", false},
}

// page is one page to be shown; leadsTo is an origin that its form may end at.
type page struct {
	status  int
	name    string
	data    any
	leadsTo string
}

func (r *Relay) showPage(ctx *fasthttp.RequestCtx, p page) {
	var b bytes.Buffer
	if err := r.signIn.pages.ExecuteTemplate(&b, p.name, p.data); err != nil {
		panic("bug: a page cannot be written: " + err.Error())
	}
	pageHeaders(ctx)
	ctx.Response.Header.Set(fasthttp.HeaderContentSecurityPolicy, pagePolicy()+"; form-action 'self' "+p.leadsTo)
	if p.status == fasthttp.StatusServiceUnavailable {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, seconds(0))
	}
	write(ctx, reply{status: p.status, kind: "text/html; charset=utf-8", cache: "no-store", body: b.Bytes()})
}

// pagePolicy is the Content-Security-Policy of a page without forms: pageStyle and nothing else.
func pagePolicy() string {
	style := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; " +
		"style-src 'sha256-" + base64.StdEncoding.EncodeToString(style[:]) + "'"
}

// pageHeaders keep a page out of frames, and its address from other sites. The referrer stays within
// the origin: without any, browsers would not say where a form came from.
func pageHeaders(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderXFrameOptions, "DENY")
	h.Set(fasthttp.HeaderReferrerPolicy, "same-origin")
	h.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
}
