// Package instance is a small ActivityPub server in Mastodon's shape, for the
// demonstration and for tests: actor documents, WebFinger, NodeInfo, the few
// API calls a gateway asks, and inboxes that remember what they were given.
//
// It answers with the statuses, headers and documents Mastodon 4.5 and 4.6 give
// and knows nothing of MLS. It never checks a signature, only that there is one,
// and it keeps everything in memory: never put it on a network.
package instance

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// Options say what kind of server to imitate.
type Options struct {
	// Origin is the base of every id without a trailing slash, as peers see
	// it: the gateway's, not this server's (http://127.0.0.1:8420).
	Origin string
	// IDs is Named when empty.
	IDs IDs
	// Fetch is OpenFetch when empty.
	Fetch Fetch
	// Edge says what is expected of the proxy in front; empty: nothing.
	Edge Edge
}

// IDs says how actor ids are written.
type IDs string

// Named is /users/alice, what Mastodon up to 4.5 mints; Numeric is /ap/users/115…, what 4.6 mints.
const (
	Named   IDs = "named"
	Numeric IDs = "numeric"
)

// Fetch says who may read actor documents.
type Fetch string

// OpenFetch answers everybody; AuthorizedFetch answers 401 to requests without a Signature.
const (
	OpenFetch       Fetch = "open"
	AuthorizedFetch Fetch = "authorized"
)

// Edge says what the instance expects of the proxy in front.
type Edge string

// TLSEdge answers 301 without X-Forwarded-Proto: https, as Rails does.
const TLSEdge Edge = "tls"

// Instance is the server. It is an http.Handler and safe for concurrent use.
type Instance struct {
	options Options
	routes  *http.ServeMux

	mu       sync.Mutex
	people   []*Person
	tokens   map[string]grant
	apps     map[string]app
	codes    map[string]asked
	received []Received
	asked    map[string]int

	remotes    []*Remote
	moderation Moderation
	reports    []Report

	registered int // applications
}

// New returns an instance without people.
func New(o Options) *Instance {
	i := &Instance{options: o, tokens: map[string]grant{}, asked: map[string]int{}, apps: map[string]app{}, codes: map[string]asked{}}
	i.routes = i.mux()
	return i
}

// Host returns the authority of the instance's ids.
func (i *Instance) Host() string {
	u, err := url.Parse(i.options.Origin)
	if err != nil {
		return ""
	}
	return u.Host
}

// Asked returns how often path was requested with method, whatever was answered.
func (i *Instance) Asked(method, path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked[method+" "+path]
}

// ServeHTTP answers as Puma behind a proxy would: 403 for a Host that is not
// the instance's, 301 to https when the Edge asks for it.
func (i *Instance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.asked[r.Method+" "+r.URL.Path]++
	i.mu.Unlock()
	w.Header().Set("Server", "Mastodon")
	switch {
	case r.URL.Path == "/health":
		writeText(w, http.StatusOK, "OK")
	case r.Host != i.Host():
		writeText(w, http.StatusForbidden, "Blocked hosts: "+r.Host)
	case i.options.Edge == TLSEdge && r.Header.Get("X-Forwarded-Proto") != "https":
		http.Redirect(w, r, "https://"+r.Host+r.URL.RequestURI(), http.StatusMovedPermanently)
	default:
		i.routes.ServeHTTP(w, r)
	}
}

func (i *Instance) mux() *http.ServeMux {
	m := http.NewServeMux()
	for path, serve := range map[string]http.HandlerFunc{
		"GET /users/{name}":                           i.serveActor,
		"GET /ap/users/{id}":                          i.serveActor,
		"GET /{at}":                                   i.serveProfile,
		"GET /.well-known/webfinger":                  i.serveWebFinger,
		"GET /.well-known/nodeinfo":                   i.serveNodeInfoLinks,
		"GET /nodeinfo/2.0":                           i.serveNodeInfo,
		"GET /api/v1/accounts/lookup":                 i.serveLookup,
		"GET /api/v1/accounts/verify_credentials":     i.serveCredentials,
		"GET /api/v1/accounts/relationships":          i.serveRelationships,
		"GET /api/v1/accounts/{id}":                   i.serveAccount,
		"GET /api/v1/blocks":                          i.serveBlocks,
		"GET /api/v1/mutes":                           i.serveMutes,
		"GET /api/v1/domain_blocks":                   i.serveDomainBlocks,
		"GET /api/v2/notifications/policy":            i.serveNotificationPolicy,
		"GET /api/v1/notifications/requests":          i.serveNotificationRequests,
		"GET /api/v1/notifications":                   i.serveNotifications,
		"GET /api/v1/instance/domain_blocks":          i.serveInstanceBlocks,
		"GET /api/v1/admin/domain_blocks":             i.serveAdminBlocks,
		"GET /api/v1/admin/domain_allows":             i.serveAdminAllows,
		"GET /api/v2/instance":                        i.serveAboutV2,
		"GET /api/v2/search":                          i.serveSearch,
		"POST /api/v1/reports":                        i.serveReports,
		"GET /api/v1/instance":                        i.serveAbout,
		"GET /oauth/token/info":                       i.serveTokenInfo,
		"GET /.well-known/oauth-authorization-server": i.serveOAuthMetadata,
		"POST /api/v1/apps":                           i.serveApps,
		"GET /oauth/authorize":                        i.serveLogin,
		"POST /oauth/authorize":                       i.serveLogin,
		"POST /oauth/token":                           i.serveToken,
		"POST /oauth/revoke":                          i.serveRevoke,
		"POST /inbox":                                 i.serveInbox,
		"POST /actor/inbox":                           i.serveInbox,
		"POST /users/{name}/inbox":                    i.serveInbox,
		"POST /ap/users/{id}/inbox":                   i.serveInbox,
		"/":                                           serveMissing,
	} {
		m.HandleFunc(path, serve)
	}
	return m
}

func serveMissing(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Header.Get("Accept"), "json") || strings.HasPrefix(r.URL.Path, "/api/") {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "Record not found"})
		return
	}
	writeText(w, http.StatusNotFound, "The page you are looking for isn't here.")
}
