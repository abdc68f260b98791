package relay

import (
	"bytes"
	"encoding/json"
	"html/template"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/policy/rules"
)

// Published is what everybody may know about how messages are treated here.
type Published struct {
	Rules     []rules.PublicRule `json:"rules"`
	Retention []Retention        `json:"retention"`
}

// Retention is how long something is kept, in words.
type Retention struct {
	What string `json:"what"`
	Kept string `json:"kept"`
}

const policyPageText = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Encrypted messages on {{.Domain}}</title><style>` + pageStyle + `</style></head><body><main>
<h1>Encrypted messages on {{.Domain}}</h1>
<p>Messages are end-to-end encrypted. This server sees who writes to whom, when, how much, and which kind of message it
is. It never sees what is written, and scans nothing.</p>
<h2>Rules</h2>
{{if .Rules}}<p>In this order; the first that fits decides, and what none fits is delivered.</p>
<ol>{{range .Rules}}<li>{{.Sentence}}</li>{{end}}</ol>{{else}}<p>Everything is delivered.</p>{{end}}
<p>No rule drops anything in a group that somebody has joined. Whoever is refused is told so, with a number to ask the
administrators about.</p>
<h2>What is kept</h2>
<ul>{{range .Retention}}<li>{{.What}}: {{.Kept}}.</li>{{end}}</ul>
<p class="small">Who is on which list, and how often is too often, is not published.</p>
</main></body></html>`

func newPolicyPage() *template.Template {
	return template.Must(template.New("policy").Parse(policyPageText))
}

// policyPage answers GET /e2ee/policy: a page to a browser, JSON to others.
func (r *Relay) policyPage(ctx *fasthttp.RequestCtx) {
	p := r.published()
	ctx.Response.Header.Set(fasthttp.HeaderVary, fasthttp.HeaderAccept)
	var body bytes.Buffer
	kind := "application/json"
	if containsFold(wanted(&ctx.Request.Header), "text/html") {
		kind = "text/html; charset=utf-8"
		pageHeaders(ctx)
		ctx.Response.Header.Set(fasthttp.HeaderContentSecurityPolicy, pagePolicy())
		if err := r.policyHTML.Execute(&body, struct {
			Published
			Domain string
		}{p, r.domain}); err != nil {
			panic("bug: the page of the policy cannot be written: " + err.Error())
		}
	} else if err := json.NewEncoder(&body).Encode(p); err != nil {
		panic("bug: the policy is not JSON: " + err.Error())
	}
	write(ctx, reply{status: fasthttp.StatusOK, kind: kind, cache: "public, max-age=300", body: body.Bytes()})
}
