// Package page is the operator's page: how the policy is, what it did, what would change, and undo. Pages
// are rendered here, work without JavaScript, and are served beside admin.listen, behind the instance's own
// login for its administrators, and on admin.socket, which only its owner can open.
//
// It shows domains, counts and keyed hashes, never who writes to whom. Everything that changes something
// is a form with a token of the session, and says first what it would do.
package page

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed" // the pages and their style
	"encoding/base64"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/rules"
)

// Policy is the policy in force and how it came to be; *policy.Book is the real one.
type Policy interface {
	Current() *rules.Policy
	Status() policy.Status
	Changes(ctx context.Context) ([]policy.Change, error)
	Rollback(ctx context.Context, change, who string) (policy.Change, error)
	Replace(ctx context.Context, text []byte, who string) (policy.Change, error)
	MayReplace() bool
}

// Instance says who an administrator is; *mastodon.SignIn is the real one.
type Instance interface {
	LoginPage(ctx context.Context, state, challenge string) (string, error)
	Redeem(ctx context.Context, code, verifier string) (token string, c mastodon.Caller, err error)
	IsAdmin(ctx context.Context, token string) (bool, error)
	End(ctx context.Context, token string)
}

// Waiting is one held message request, without who it is for.
type Waiting struct {
	Since    time.Time
	Domain   string
	Messages int
}

// Retention is how long something is kept, in words.
type Retention struct{ What, Kept string }

// Options of a Page. Policy and Entries are required.
type Options struct {
	URL       string // `admin.url`: the origin under which a browser reaches admin.listen
	Domain    string
	Version   string
	Policy    Policy
	Entries   func(ctx context.Context, since time.Time, do func(policy.Entry) bool) error
	Preset    func(name string) ([]byte, error)
	Requests  func(ctx context.Context, do func(Waiting)) error // everybody's; nil: not known
	Gatherer  prometheus.Gatherer                               // nil: no deliveries and key pools
	Instance  Instance                                          // nil: nobody can log in
	Retention []Retention
	Leaving   func() bool // since `sealgate leave`; nil: never
	Clock     func() time.Time
	Log       *slog.Logger
}

// Page has the handlers. It is safe for concurrent use.
type Page struct {
	opt      Options
	host     string // of URL
	pages    *template.Template
	style    string // its hash, for the pages' policy
	sessions *sessions
	owner    *session // of whoever opens the socket
}

//go:embed pages.html
var pagesText string

//go:embed style.css
var styleText string

// New makes a Page. An error names the option.
func New(o Options) (*Page, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("page: admin.url is not an origin like https://admin.example")
	}
	if o.Policy == nil || o.Entries == nil {
		return nil, errors.New("page: Options.Policy and Entries are required")
	}
	if o.Leaving == nil {
		o.Leaving = func() bool { return false }
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.URL = u.Scheme + "://" + u.Host
	pages, err := template.New("pages").Funcs(functions()).Parse(pagesText)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(styleText))
	return &Page{
		opt: o, host: strings.ToLower(u.Host), pages: pages, style: base64.StdEncoding.EncodeToString(sum[:]),
		sessions: newSessions(), owner: &session{Name: "the socket's owner", CSRF: random()},
	}, nil
}

// Callback is where the instance sends an administrator's browser back to.
func Callback(origin string) string { return strings.TrimSuffix(origin, "/") + "/page/callback" }

// view is a page to somebody who may see it.
type view func(p *Page, r *http.Request, s *session) (name string, data any, err error)

// Handler is for admin.listen: what is below /page/, for administrators who logged in.
func (p *Page) Handler() http.Handler {
	mux := p.mux(p.admitted)
	mux.HandleFunc("GET /page/login", p.login)
	mux.HandleFunc("GET /page/callback", p.callback)
	mux.HandleFunc("POST /page/logout", p.logout)
	return p.guarded(mux, func(host string) bool { return host == p.host })
}

// Socket is for admin.socket: the same, for whoever could open it.
func (p *Page) Socket() http.Handler {
	mux := p.mux(func(*http.Request) (*session, error) { return p.owner, nil })
	return p.guarded(mux, isLocal)
}

// isLocal keeps a name that another site made to lead here from reading anything.
func isLocal(host string) bool {
	u := url.URL{Host: host}
	name := u.Hostname()
	return name == "localhost" || name == "127.0.0.1" || name == "::1" || name == "sealgate" || name == ""
}

func (p *Page) mux(who func(*http.Request) (*session, error)) *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, show := range map[string]view{
		"GET /page/{$}": (*Page).overview, "GET /page/rules": (*Page).rules, "GET /page/domains": (*Page).domains,
		"GET /page/domain": (*Page).domain, "GET /page/requests": (*Page).requests, "GET /page/explain": (*Page).explain,
		"GET /page/deliveries": (*Page).deliveries, "GET /page/changes": (*Page).changes,
		"GET /page/preset": (*Page).preset, "GET /page/public": (*Page).public,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { p.show(w, r, who, show) })
	}
	for pattern, do := range map[string]deed{
		"POST /page/preset": (*Page).applyPreset, "POST /page/domain": (*Page).ignoreDomain, "POST /page/undo": (*Page).undo,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { p.act(w, r, who, do) })
	}
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/page/", http.StatusSeeOther) })
	return mux
}

// guarded sets what holds for every answer, and turns away hosts that are not ours.
func (p *Page) guarded(next http.Handler, isOurs func(host string) bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; style-src 'sha256-"+p.style+"'")
		if !isOurs(strings.ToLower(r.Host)) {
			p.render(w, http.StatusMisdirectedRequest, "problem", frame{
				Title: http.StatusText(http.StatusMisdirectedRequest), Home: p.opt.URL,
				Data: "This address is not the page's own: open " + p.opt.URL + "/page/ (admin.url).",
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// frame is what every page has around its content.
type frame struct {
	Title, Domain, Version, Who, CSRF, Style string
	IsOwner                                  bool
	Now                                      time.Time
	Path                                     string
	Home                                     string // where the first page is, if not at this address
	Done                                     string // what was just done
	Data                                     any
}

func (p *Page) show(w http.ResponseWriter, r *http.Request, who func(*http.Request) (*session, error), show view) {
	s, err := who(r)
	if err != nil {
		p.refuse(w, err)
		return
	}
	name, data, err := show(p, r, s)
	switch {
	case errors.Is(err, errNothing):
		p.fail(w, http.StatusNotFound, "There is no such thing. It may have expired: decisions are kept for 7 days, changes for a year.")
	case err != nil:
		p.opt.Log.Warn("operator's page could not be shown", "page", name, "error", err)
		p.fail(w, http.StatusInternalServerError, "This cannot be shown now: "+err.Error())
	default:
		p.render(w, http.StatusOK, name, frame{
			Title: titles()[name], Who: s.Name, CSRF: s.CSRF, IsOwner: s == p.owner, Path: tabOf(r.URL.Path), Done: done(r.URL.Query().Get("done")), Data: data,
		})
	}
}

// tabOf is the page of the navigation that a page is reached from.
func tabOf(path string) string {
	switch path {
	case "/page/domain":
		return "/page/domains"
	case "/page/preset":
		return "/page/rules"
	}
	return path
}

func (p *Page) render(w http.ResponseWriter, status int, name string, f frame) {
	f.Domain, f.Version, f.Style, f.Now = p.opt.Domain, p.opt.Version, styleText, p.opt.Clock().UTC()
	var b bytes.Buffer
	if err := p.pages.ExecuteTemplate(&b, name, f); err != nil {
		panic("bug: a page cannot be written: " + err.Error())
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the browser has gone
}

// fail says in one sentence what is wrong.
func (p *Page) fail(w http.ResponseWriter, status int, sentence string) {
	p.render(w, status, "problem", frame{Title: http.StatusText(status), Data: sentence})
}

// errNothing: what was asked for does not exist.
var errNothing = errors.New("page: nothing there")

func random() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
