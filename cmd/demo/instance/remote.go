package instance

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Remote is an account of another server that the instance knows.
type Remote struct {
	Account            string // Account is the numeric id as the API prints it; AddRemote gives it.
	Name, Host         string // Name@Host is the acct.
	Actor              string
	Created            time.Time // Created is when the instance first knew it.
	Limited, Suspended bool      // by the moderators
	Bot                bool
	Unseen             bool // elsewhere, but not known here until a search resolves it
}

// firstRemote keeps ids of remote accounts apart from those of people.
const firstRemote = 109000000000000001

// AddRemote makes the instance know an account of another server.
func (i *Instance) AddRemote(r Remote) *Remote {
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.Created.IsZero() {
		r.Created = time.Date(2022, 11, 5, 0, 0, 0, 0, time.UTC)
	}
	r.Account = strconv.Itoa(firstRemote + len(i.remotes))
	i.remotes = append(i.remotes, &r)
	return &r
}

// findRemote returns the account with that acct, actor id or account id, or nil. The caller holds the lock.
func (i *Instance) findRemote(id string) *Remote {
	for _, r := range i.remotes {
		if !r.Unseen && (strings.EqualFold(r.Name+"@"+r.Host, id) || r.Actor == id || r.Account == id) {
			return r
		}
	}
	return nil
}

// entity is Mastodon's Account; limited and suspended are there only when true.
func (r *Remote) entity() map[string]any {
	entity := map[string]any{
		"id": r.Account, "username": r.Name, "acct": r.Name + "@" + r.Host, "display_name": r.Name,
		"url": "https://" + r.Host + "/@" + r.Name, "uri": r.Actor, "locked": false, "bot": r.Bot,
		"created_at": r.Created.UTC().Format("2006-01-02T00:00:00.000Z"),
	}
	if r.Limited {
		entity["limited"] = true
	}
	if r.Suspended {
		entity["suspended"] = true
	}
	return entity
}

// Tie is what a person and a remote account are to each other.
type Tie struct{ Following, FollowedBy, Blocking, Muting bool }

// Relate says what p and r are to each other.
func (i *Instance) Relate(p *Person, r *Remote, t Tie) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p.ties = slices.DeleteFunc(p.ties, func(one tied) bool { return one.to == r })
	p.ties = append(p.ties, tied{to: r, tie: t})
}

// tied is a remote account and what it is to a person.
type tied struct {
	to  *Remote
	tie Tie
}

// BlockDomains makes p block whole servers.
func (i *Instance) BlockDomains(p *Person, domains ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p.blockedDomains = domains
}

// allowed answers 401 and 403 to a request whose token lacks all of scopes, and says whose it is.
func (i *Instance) allowed(w http.ResponseWriter, r *http.Request, scopes ...string) (*Person, bool) {
	g, ok := i.grant(bearer(r))
	if !ok {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "The access token is invalid"})
		return nil, false
	}
	if !slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(g.scopes, s) }) {
		writeJSON(w, http.StatusForbidden, map[string]string{"error": "This action is outside the authorized scopes"})
		return nil, false
	}
	return g.person, true
}

func (i *Instance) serveRelationships(w http.ResponseWriter, r *http.Request) {
	p, ok := i.allowed(w, r, "read", "read:follows", "follow")
	if !ok {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	query := r.URL.Query()
	list := []map[string]any{}
	for _, id := range append(query["id[]"], query["id"]...) {
		if to := i.findRemote(id); to != nil {
			list = append(list, p.relationship(to))
		}
	}
	writeTyped(w, "application/json; charset=utf-8", list)
}

// relationship is Mastodon's Relationship.
func (p *Person) relationship(to *Remote) map[string]any {
	var t Tie
	for _, one := range p.ties {
		if one.to == to {
			t = one.tie
		}
	}
	return map[string]any{
		"id": to.Account, "following": t.Following, "showing_reblogs": t.Following, "notifying": false, "languages": nil,
		"followed_by": t.FollowedBy, "blocking": t.Blocking, "blocked_by": false, "muting": t.Muting,
		"muting_notifications": t.Muting, "requested": false, "requested_by": false,
		"domain_blocking": slices.Contains(p.blockedDomains, to.Host), "endorsed": false, "note": "",
	}
}

// serveBlocks and serveMutes are newest first.
func (i *Instance) serveBlocks(w http.ResponseWriter, r *http.Request) {
	if p, ok := i.allowed(w, r, "read", "read:blocks", "follow"); ok {
		i.servePages(w, r, 40, 80, i.entities(p, func(t Tie) bool { return t.Blocking }))
	}
}

func (i *Instance) serveMutes(w http.ResponseWriter, r *http.Request) {
	if p, ok := i.allowed(w, r, "read", "read:mutes", "follow"); ok {
		i.servePages(w, r, 40, 80, i.entities(p, func(t Tie) bool { return t.Muting }))
	}
}

func (i *Instance) serveDomainBlocks(w http.ResponseWriter, r *http.Request) {
	p, ok := i.allowed(w, r, "read", "read:blocks", "follow")
	if !ok {
		return
	}
	i.mu.Lock()
	list := make([]any, 0, len(p.blockedDomains))
	for _, d := range slices.Backward(p.blockedDomains) {
		list = append(list, d)
	}
	i.mu.Unlock()
	i.servePages(w, r, 100, 200, list)
}

func (i *Instance) entities(p *Person, has func(Tie) bool) []any {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := []any{}
	for _, one := range slices.Backward(p.ties) {
		if has(one.tie) {
			list = append(list, one.to.entity())
		}
	}
	return list
}

// servePages serves a page of a list that is newest first, with Mastodon's Link header. The ids in it are
// those of the rows, not of what they name: the oldest is 1.
func (i *Instance) servePages(w http.ResponseWriter, r *http.Request, usual, most int, list []any) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 {
		limit = usual
	}
	first := 0
	if maxID, err := strconv.Atoi(r.URL.Query().Get("max_id")); err == nil {
		first = min(max(len(list)-maxID+1, 0), len(list))
	}
	page := list[first:min(first+min(limit, most), len(list))]
	if len(page) > 0 {
		links := []string{}
		link := func(rel, key string, id int) {
			q := url.Values{"limit": {strconv.Itoa(limit)}, key: {strconv.Itoa(id)}}
			links = append(links, "<"+i.options.Origin+r.URL.Path+"?"+q.Encode()+`>; rel="`+rel+`"`)
		}
		if len(page) == min(limit, most) { // Mastodon, too, links to a page that may be empty
			link("next", "max_id", len(list)-first-len(page)+1)
		}
		link("prev", "since_id", len(list)-first)
		w.Header().Set("Link", strings.Join(links, ", "))
	}
	writeTyped(w, "application/json; charset=utf-8", page)
}

// serveSearch finds accounts by acct or actor id, with resolve=true also those that are not known yet.
func (i *Instance) serveSearch(w http.ResponseWriter, r *http.Request) {
	if _, ok := i.allowed(w, r, "read", "read:search"); !ok {
		return
	}
	q := r.URL.Query()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, one := range i.remotes {
		if one.Actor == q.Get("q") && q.Get("resolve") == "true" {
			one.Unseen = false
		}
	}
	accounts := []any{}
	if found := i.findRemote(q.Get("q")); found != nil {
		accounts = append(accounts, found.entity())
	}
	writeTyped(w, "application/json; charset=utf-8", map[string]any{"accounts": accounts, "statuses": []any{}, "hashtags": []any{}})
}
