package relay

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/relay/forward"
)

// inlineContext defines our terms inside the document. A remote context that a
// peer cannot load makes it reject everything the actor signs.
const inlineContext = `{"mls":"https://purl.archive.org/socialweb/mls#",` +
	`"keyPackages":{"@id":"mls:keyPackages","@type":"@id"},` +
	`"messages":{"@id":"mls:messages","@type":"@id"}}`

// property is one that the gateway adds, its value a path under /e2ee/users/{name}/
// or, when it begins with a slash, under the base.
type property struct{ name, path string }

// What the gateway really serves, and so says in actor documents.
var (
	actorProperties = []property{
		{"keyPackages", "keyPackages"},
		{"messages", "messages"},
	}
	proxyProperty    = []property{{"proxyUrl", proxyPath}}
	signInProperties = []property{
		{"oauthAuthorizationEndpoint", authorizePath},
		{"oauthTokenEndpoint", tokenPath},
	}
)

// offered are the properties of endpoints, as far as the options allow.
func (o Options) offered() []property {
	var list []property
	if o.Outside != nil {
		list = append(list, proxyProperty...)
	}
	if o.SignIn != nil {
		list = append(list, signInProperties...)
	}
	return list
}

// actorDocument passes a request for what may be an actor document; only the
// ActivityPub form of it is looked at.
func (r *Relay) actorDocument(ctx *fasthttp.RequestCtx) {
	accept := wanted(&ctx.Request.Header)
	if !wantsActivity(accept, pathOf(ctx.Request.Header.RequestURI())) {
		r.web.Pass(ctx)
		r.forgetRefused(ctx)
		return
	}
	r.web.PassEdited(ctx, r.edit)
}

// wantsActivity tells whether a form of ActivityPub is asked for. Mastodon takes
// plain JSON, and .json in the path, for it; on a path of one segment that may be
// anybody's file.
func wantsActivity(accept, path []byte) bool {
	if containsFold(accept, "application/activity+json") || containsFold(accept, "application/ld+json") {
		return true
	}
	isMastodons := bytes.HasPrefix(path, []byte("/@")) || bytes.Count(path, []byte("/")) > 1
	return isMastodons && (containsFold(accept, "application/json") || bytes.HasSuffix(path, []byte(".json")))
}

// containsFold looks for a lower-case text in any case, without allocating.
func containsFold(b []byte, text string) bool {
	for i := 0; i+len(text) <= len(b); i++ {
		if b[i]|0x20 == text[0] && strings.EqualFold(string(b[i:i+len(text)]), text) {
			return true
		}
	}
	return false
}

func (r *Relay) editReply(reply forward.Reply) ([]byte, bool) {
	if reply.Status != fasthttp.StatusOK || !containsFold(reply.Header(fasthttp.HeaderContentType), "json") {
		return nil, false
	}
	return r.editActor(reply.Body)
}

// editActor adds what the gateway serves to the actor document of a local
// person. Every byte of doc stays, in order. It says false for everything that
// is not such a document, or that offers key packages already.
func (r *Relay) editActor(doc []byte) ([]byte, bool) {
	if !json.Valid(doc) {
		return nil, false
	}
	list, err := members(doc, span{0, len(doc)})
	if err != nil {
		return nil, false
	}
	a, ok := r.readActor(doc, list)
	if !ok {
		return nil, false
	}
	insertions, ok := r.insertions(a, doc)
	if !ok {
		return nil, false
	}
	r.learnInboxes(a)
	return splice(doc, insertions), true
}

// actor is what an edit must know of a document.
type actor struct {
	id, name         string
	inbox, shared    string
	context          span
	endpoints        span // empty when there is none
	end              int  // of the last member
	endpointsMembers []member
}

// readActor takes from a document what an edit needs. False: leave it alone.
func (r *Relay) readActor(doc []byte, list []member) (actor, bool) {
	a := actor{}
	seen := map[string]span{}
	for _, m := range list {
		if _, twice := seen[m.name]; twice || r.isOurs(m.name) {
			return a, false
		}
		seen[m.name] = m.value
		a.end = m.value.to
	}
	text := func(name string) string {
		var s string
		_ = json.Unmarshal(slices.Clone(doc[seen[name].from:seen[name].to]), &s)
		return s
	}
	a.id, a.name, a.inbox = text("id"), text("preferredUsername"), text("inbox")
	a.context = seen["@context"]
	a.endpoints = seen["endpoints"]
	suspended := string(doc[seen["suspended"].from:seen["suspended"].to]) == "true"
	isLocalPerson := isPerson(doc[seen["type"].from:seen["type"].to]) && r.isLocal(a.id) && !suspended
	if !isLocalPerson || a.name == "" || a.inbox == "" || a.context.to == 0 {
		return a, false
	}
	a.endpointsMembers, _ = members(doc, a.endpoints) // null and the like have none
	for _, m := range a.endpointsMembers {
		if m.name == "sharedInbox" {
			_ = json.Unmarshal(doc[m.value.from:m.value.to], &a.shared)
		}
	}
	return a, true
}

// isOurs tells whether the upstream offers what we would add, under any of the
// names of interop.md. It is said once: the operator may want to leave.
func (r *Relay) isOurs(name string) bool {
	name = strings.TrimPrefix(name, "mls:")
	name = strings.TrimPrefix(name, "https://purl.archive.org/socialweb/mls#")
	if name != "keyPackages" && name != "messages" {
		return false
	}
	if name == "keyPackages" && r.native.CompareAndSwap(false, true) {
		r.log.Warn("the upstream offers key packages itself: run sealgate leave when its people use them")
	}
	return true
}

func isPerson(value []byte) bool {
	var one string
	if json.Unmarshal(value, &one) == nil {
		return one == "Person"
	}
	var many []string
	return json.Unmarshal(value, &many) == nil && slices.Contains(many, "Person")
}

// isLocal tells whether an id is a URL on our own host.
func (r *Relay) isLocal(id string) bool {
	u, err := url.Parse(id)
	if err != nil {
		return false
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		return strings.TrimSuffix(host, ":443") == r.domain
	case "http":
		return strings.TrimSuffix(host, ":80") == r.domain
	}
	return false
}

// insertions are the spans to add, in the order of the document.
func (r *Relay) insertions(a actor, doc []byte) ([]insertion, bool) {
	list, ok := extendContext(doc, a.context)
	if !ok {
		return nil, false
	}
	own := actorProperties
	if r.leaving() {
		own = slices.DeleteFunc(slices.Clone(own), func(p property) bool { return p.name == "keyPackages" })
	}
	added := r.written(a, own)
	inside, isObject := r.intoEndpoints(a, doc)
	switch {
	case isObject:
		list = append(list, inside...)
	case a.endpoints.to == 0 && len(r.endpoints) > 0:
		added += `,"endpoints":{` + strings.TrimPrefix(r.written(a, r.endpoints), ",") + `}`
	}
	list = append(list, insertion{a.end, added})
	slices.SortStableFunc(list, func(x, y insertion) int { return x.at - y.at })
	return list, true
}

// intoEndpoints adds to an endpoints object what it does not have yet.
func (r *Relay) intoEndpoints(a actor, doc []byte) ([]insertion, bool) {
	if a.endpoints.to == 0 || doc[a.endpoints.from] != '{' {
		return nil, false
	}
	missing := slices.DeleteFunc(slices.Clone(r.endpoints), func(p property) bool {
		return slices.ContainsFunc(a.endpointsMembers, func(m member) bool { return m.name == p.name })
	})
	if len(missing) == 0 {
		return nil, true
	}
	text := r.written(a, missing)
	if len(a.endpointsMembers) == 0 {
		text = strings.TrimPrefix(text, ",")
	}
	return []insertion{{a.endpoints.to - 1, text}}, true
}

// written is `,"name":"url"` for each property.
func (r *Relay) written(a actor, properties []property) string {
	var b strings.Builder
	for _, p := range properties {
		u := r.base + p.path
		if !strings.HasPrefix(p.path, "/") {
			u = r.personURL(a.name, p.path)
		}
		b.WriteString(`,"` + p.name + `":`)
		b.Write(quote(u))
	}
	return b.String()
}

// personURL is one of a person's collections.
func (r *Relay) personURL(name, what string) string {
	return r.base + "/e2ee/users/" + url.PathEscape(name) + "/" + what
}

// extendContext adds the inline context behind what is there.
func extendContext(doc []byte, context span) ([]insertion, bool) {
	switch doc[context.from] {
	case '[':
		text := "," + inlineContext
		if doc[skipBlank(doc, context.from+1)] == ']' {
			text = inlineContext
		}
		return []insertion{{context.to - 1, text}}, true
	case '"', '{':
		return []insertion{{context.from, "["}, {context.to, "," + inlineContext + "]"}}, true
	}
	return nil, false
}

// learnInboxes remembers what the document calls inboxes.
func (r *Relay) learnInboxes(a actor) {
	if u, err := url.Parse(a.inbox); err == nil && r.isLocal(a.inbox) {
		r.named.learn([]byte(u.EscapedPath()), a.id)
	}
	if u, err := url.Parse(a.shared); err == nil && r.isLocal(a.shared) {
		r.named.learn([]byte(u.EscapedPath()), "")
	}
}
