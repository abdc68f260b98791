package relay

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/relay/forward"
	"github.com/sealgate/sealgate/relay/splice"
)

// inlineContext defines our terms inside the document. A remote context that a
// peer cannot load makes it reject everything the actor signs.
const inlineContext = `{"mls":"https://purl.archive.org/socialweb/mls#",` +
	`"keyPackages":{"@id":"mls:keyPackages","@type":"@id"},` +
	`"messages":{"@id":"mls:messages","@type":"@id"}}`

// property is one that the gateway adds, its value a path under /e2ee/users/{name}/
// or, when it begins with a slash, under the base.
type property struct{ name, path string }

// actorProperties are what the gateway serves of every person, and so says in actor documents.
var actorProperties = []property{
	{"keyPackages", "keyPackages"},
	{"messages", "messages"},
}

// offered are the properties of endpoints, as far as the options allow.
func (o Options) offered() (list []property) {
	if o.Outside != nil {
		list = append(list, property{"proxyUrl", proxyPath})
	}
	if o.SignIn != nil {
		list = append(list, property{"oauthAuthorizationEndpoint", authorizePath}, property{"oauthTokenEndpoint", tokenPath})
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
	o, err := splice.Parse(doc)
	if err != nil {
		return nil, false
	}
	a, ok := r.readActor(o)
	if !ok {
		return nil, false
	}
	insertions, ok := r.insertions(a)
	if !ok {
		return nil, false
	}
	r.learnInboxes(a)
	return splice.Apply(doc, insertions), true
}

// actor is what an edit must know of a document.
type actor struct {
	splice.Object

	id, name           string
	inbox, shared      string
	context, endpoints splice.Member // zero when there is none
}

// readActor takes from a document what an edit needs. False: leave it alone.
func (r *Relay) readActor(o splice.Object) (actor, bool) {
	seen := map[string]splice.Member{}
	for _, m := range o.Members {
		if _, twice := seen[m.Name]; twice || r.isOurs(m.Term) {
			return actor{}, false
		}
		seen[m.Name] = m
	}
	a := actor{
		Object: o, id: o.Text(seen["id"]), name: o.Text(seen["preferredUsername"]), inbox: o.Text(seen["inbox"]),
		context: seen["@context"], endpoints: seen["endpoints"],
	}
	suspended := string(o.Raw(seen["suspended"])) == "true"
	isLocalPerson := isPerson(o.Raw(seen["type"])) && r.people.IsLocal(a.id) && !suspended
	if !isLocalPerson || a.name == "" || a.inbox == "" || a.context.Name == "" {
		return a, false
	}
	if inside, ok := o.Within(a.endpoints); ok {
		a.shared = inside.TextOf("sharedInbox")
	}
	return a, true
}

// isOurs tells whether the upstream offers what we would add, under any of the
// names of interop.md. It is said once: the operator may want to leave.
func (r *Relay) isOurs(name string) bool {
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

// insertions are what to add.
func (r *Relay) insertions(a actor) ([]splice.Edit, bool) {
	list, ok := a.extendContext()
	if !ok {
		return nil, false
	}
	own := actorProperties
	if r.leaving() {
		own = slices.DeleteFunc(slices.Clone(own), func(p property) bool { return p.name == "keyPackages" })
	}
	added := r.written(a, own)
	if inside, ok := a.Within(a.endpoints); ok {
		list = append(list, r.intoEndpoints(a, inside))
	} else if a.endpoints.Name == "" && len(r.endpoints) > 0 {
		added += `,"endpoints":{` + strings.TrimPrefix(r.written(a, r.endpoints), ",") + `}`
	}
	return append(list, splice.Insert(a.Members[len(a.Members)-1].Value.To, added)), true
}

// intoEndpoints adds to an endpoints object what it does not have yet.
func (r *Relay) intoEndpoints(a actor, endpoints splice.Object) splice.Edit {
	missing := slices.DeleteFunc(slices.Clone(r.endpoints), func(p property) bool {
		return slices.ContainsFunc(endpoints.Members, func(m splice.Member) bool { return m.Name == p.name })
	})
	text := r.written(a, missing)
	if len(endpoints.Members) == 0 {
		text = strings.TrimPrefix(text, ",")
	}
	return splice.Insert(endpoints.To-1, text)
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
		b.WriteString(splice.Quote(u))
	}
	return b.String()
}

// personURL is one of a person's collections.
func (r *Relay) personURL(name, what string) string {
	return r.base + "/e2ee/users/" + url.PathEscape(name) + "/" + what
}

// extendContext adds the inline context behind what is there.
func (a actor) extendContext() ([]splice.Edit, bool) {
	at, value := a.context.Value, a.Raw(a.context)
	switch value[0] {
	case '[':
		text := "," + inlineContext
		if len(bytes.TrimSpace(value[1:len(value)-1])) == 0 {
			text = inlineContext
		}
		return []splice.Edit{splice.Insert(at.To-1, text)}, true
	case '"', '{':
		return []splice.Edit{splice.Insert(at.From, "["), splice.Insert(at.To, ","+inlineContext+"]")}, true
	}
	return nil, false
}

// learnInboxes remembers what the document calls inboxes.
func (r *Relay) learnInboxes(a actor) {
	if u, err := url.Parse(a.inbox); err == nil && r.people.IsLocal(a.inbox) {
		r.named.learn([]byte(u.EscapedPath()), a.id)
	}
	if u, err := url.Parse(a.shared); err == nil && r.people.IsLocal(a.shared) {
		r.named.learn([]byte(u.EscapedPath()), "")
	}
}
