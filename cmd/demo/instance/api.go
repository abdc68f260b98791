package instance

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxBody is Mastodon's limit for inbox bodies, in bytes.
const maxBody = 1 << 20

// serveLookup is open even under authorized fetch.
func (i *Instance) serveLookup(w http.ResponseWriter, r *http.Request) {
	acct := strings.TrimPrefix(r.URL.Query().Get("acct"), "@")
	name, host, remote := strings.Cut(acct, "@")
	if known := i.remote(acct); known != nil {
		writeTyped(w, "application/json; charset=utf-8", known)
		return
	}
	p := i.person(name)
	if p == nil || remote && host != i.Host() {
		serveMissing(w, r)
		return
	}
	writeTyped(w, "application/json; charset=utf-8", i.account(p))
}

// serveAccount knows account ids and no names.
func (i *Instance) serveAccount(w http.ResponseWriter, r *http.Request) {
	if known := i.remote(r.PathValue("id")); known != nil {
		writeTyped(w, "application/json; charset=utf-8", known)
		return
	}
	p := i.person(r.PathValue("id"))
	if p == nil || p.Account != r.PathValue("id") {
		serveMissing(w, r)
		return
	}
	writeTyped(w, "application/json; charset=utf-8", i.account(p))
}

func (i *Instance) serveCredentials(w http.ResponseWriter, r *http.Request) {
	g, ok := i.grant(bearer(r))
	if !ok {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "The access token is invalid"})
		return
	}
	if !slices.ContainsFunc(g.scopes, func(s string) bool {
		return s == "read" || s == "read:accounts" || s == "profile"
	}) {
		writeJSON(w, http.StatusForbidden, map[string]string{"error": "This action is outside the authorized scopes"})
		return
	}
	w.Header().Set("Cache-Control", "private, no-store")
	entity := i.account(g.person)
	i.mu.Lock()
	role := g.person.role
	i.mu.Unlock()
	entity["role"] = map[string]any{
		"id": "-99", "name": role, "permissions": strconv.Itoa(role.permissions()), "color": "", "highlighted": false,
	}
	writeTyped(w, "application/json; charset=utf-8", entity)
}

// remote is the entity of a remote account, nil when it is not known.
func (i *Instance) remote(id string) map[string]any {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r := i.findRemote(id); r != nil {
		return r.entity()
	}
	return nil
}

func (i *Instance) account(p *Person) map[string]any {
	return map[string]any{
		"id": p.Account, "username": p.Name, "acct": p.Name, "display_name": p.Name,
		"url": i.options.Origin + "/@" + p.Name, "uri": p.Actor, "locked": false, "bot": false,
	}
}

func (i *Instance) serveTokenInfo(w http.ResponseWriter, r *http.Request) {
	g, ok := i.grant(bearer(r))
	if !ok {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "The access token is invalid"})
		return
	}
	writeTyped(w, "application/json; charset=utf-8", map[string]any{
		"resource_owner_id": g.person.user, "scope": g.scopes, "expires_in": nil,
		"application": map[string]string{"uid": "demo"}, "created_at": 1760000000,
	})
}

func (i *Instance) serveRevoke(w http.ResponseWriter, r *http.Request) {
	i.Revoke(r.PostFormValue("token"))
	writeJSON(w, http.StatusOK, map[string]string{})
}

func (i *Instance) serveAbout(w http.ResponseWriter, _ *http.Request) {
	writeTyped(w, "application/json; charset=utf-8", map[string]any{
		"uri": i.Host(), "title": "A sample instance", "version": i.version(),
	})
}

func (i *Instance) serveNodeInfoLinks(w http.ResponseWriter, _ *http.Request) {
	writeTyped(w, "application/json; charset=utf-8", map[string]any{
		"links": []map[string]string{{
			"rel":  "http://nodeinfo.diaspora.software/ns/schema/2.0",
			"href": i.options.Origin + "/nodeinfo/2.0",
		}},
	})
}

func (i *Instance) serveNodeInfo(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	people := len(i.people)
	i.mu.Unlock()
	writeTyped(w, "application/json; charset=utf-8", map[string]any{
		"version": "2.0", "software": map[string]string{"name": "mastodon", "version": i.version()},
		"protocols": []string{"activitypub"}, "openRegistrations": false,
		"services": map[string][]string{"inbound": {}, "outbound": {}},
		"usage":    map[string]any{"users": map[string]int{"total": people}}, "metadata": map[string]string{},
	})
}

func (i *Instance) version() string {
	if i.options.IDs == Numeric {
		return "4.6.0"
	}
	return "4.5.0"
}

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	encode(w, v)
}

func writeTyped(w http.ResponseWriter, mediaType string, v any) {
	w.Header().Set("Content-Type", mediaType)
	encode(w, v)
}

func encode(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("bug: encode an answer: " + err.Error())
	}
	write(w, body)
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	write(w, []byte(text))
}

// write gives up silently: the client is gone and there is nobody to tell.
func write(w http.ResponseWriter, body []byte) {
	_, _ = w.Write(body)
}
