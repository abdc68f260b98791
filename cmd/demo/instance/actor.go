package instance

import (
	"crypto/sha256"
	_ "embed" // the two templates
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// The documents Mastodon's serializers give, with {origin}, {host}, {name},
// {display}, {id} and {pem} to fill in. Mastodon escapes nothing else.
var (
	//go:embed named.json
	namedTemplate string
	//go:embed numeric.json
	numericTemplate string
)

// Document returns the actor document of p, byte for byte as it is served.
func (i *Instance) Document(p *Person) []byte {
	template := namedTemplate
	if i.options.IDs == Numeric {
		template = numericTemplate
	}
	return []byte(strings.NewReplacer(
		"{origin}", i.options.Origin,
		"{host}", i.Host(),
		"{name}", p.Name,
		"{display}", strings.ToUpper(p.Name[:1])+p.Name[1:],
		"{id}", p.Account,
		"{pem}", strings.ReplaceAll(p.public, "\n", `\n`),
	).Replace(strings.TrimSpace(template)))
}

// serveActor answers by Accept, or .json in the path: the document, HTML, or a redirect to /@name.
func (i *Instance) serveActor(w http.ResponseWriter, r *http.Request) {
	name, isJSON := strings.CutSuffix(r.PathValue("name")+r.PathValue("id"), ".json")
	p := i.person(name)
	if p == nil {
		serveMissing(w, r)
		return
	}
	switch accept := r.Header.Get("Accept"); {
	case isJSON, wantsActivity(accept):
		i.serveDocument(w, r, p)
	case strings.Contains(accept, "html"):
		servePage(w, p)
	default:
		http.Redirect(w, r, "/@"+p.Name, http.StatusMovedPermanently)
	}
}

// serveProfile is /@name, the page people know.
func (i *Instance) serveProfile(w http.ResponseWriter, r *http.Request) {
	name, at := strings.CutPrefix(r.PathValue("at"), "@")
	name, isJSON := strings.CutSuffix(name, ".json")
	p := i.person(name)
	if !at || p == nil {
		serveMissing(w, r)
		return
	}
	if isJSON || wantsActivity(r.Header.Get("Accept")) {
		i.serveDocument(w, r, p)
		return
	}
	servePage(w, p)
}

func (i *Instance) serveDocument(w http.ResponseWriter, r *http.Request, p *Person) {
	h := w.Header()
	h.Set("Vary", i.vary())
	if !strings.HasPrefix(r.URL.Path, "/ap/") {
		h.Set("Access-Control-Allow-Origin", "*")
	}
	signed := r.Header.Get("Signature") != ""
	if i.options.Fetch == AuthorizedFetch && !signed {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "Request not signed"})
		return
	}
	h.Set("Cache-Control", "max-age=180, public")
	if r.Header.Get("Cookie") != "" || i.options.Fetch == AuthorizedFetch {
		h.Set("Cache-Control", "private, no-store")
	}
	document := i.Document(p)
	sum := sha256.Sum256(document)
	tag := `W/"` + hex.EncodeToString(sum[:16]) + `"`
	h.Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/activity+json; charset=utf-8")
	write(w, document)
}

func (i *Instance) vary() string {
	if i.options.Fetch == AuthorizedFetch {
		return "Accept, Accept-Language, Cookie, Signature"
	}
	return "Accept, Accept-Language, Cookie"
}

// wantsActivity tells an Accept that Mastodon takes for ActivityPub; with */* beside it Rails gives HTML.
func wantsActivity(accept string) bool {
	return !strings.Contains(accept, "*/*") && slices.ContainsFunc([]string{"activity+json", "ld+json", "json"}, func(kind string) bool {
		return strings.Contains(accept, "application/"+kind)
	})
}

func servePage(w http.ResponseWriter, p *Person) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	write(w, []byte("<!DOCTYPE html>\n<title>"+p.Name+"</title>\n<h1>@"+p.Name+"</h1>\n"))
}

// serveWebFinger knows acct:name@host and every spelling of an actor's URL.
func (i *Instance) serveWebFinger(w http.ResponseWriter, r *http.Request) {
	p := i.person(i.nameIn(r.URL.Query().Get("resource")))
	if p == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "max-age=259200, public")
	writeTyped(w, "application/jrd+json; charset=utf-8", map[string]any{
		"subject": "acct:" + p.Name + "@" + i.Host(),
		"aliases": []string{i.options.Origin + "/@" + p.Name, p.Actor},
		"links": []map[string]string{
			{"rel": "http://webfinger.net/rel/profile-page", "type": "text/html", "href": i.options.Origin + "/@" + p.Name},
			{"rel": "self", "type": "application/activity+json", "href": p.Actor},
		},
	})
}

// nameIn returns the username or account id resource names, or "".
func (i *Instance) nameIn(resource string) string {
	if acct, ok := strings.CutPrefix(resource, "acct:"); ok {
		name, host, _ := strings.Cut(acct, "@")
		if host != i.Host() {
			return ""
		}
		return name
	}
	u, err := url.Parse(resource)
	if err != nil || u.Host != i.Host() {
		return ""
	}
	for _, prefix := range []string{"/@", "/users/", "/ap/users/"} {
		if name, ok := strings.CutPrefix(u.Path, prefix); ok {
			return name
		}
	}
	return ""
}
