package page

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sealgate/sealgate/policy/mastodon"
)

const (
	sessionLife = 12 * time.Hour
	loginLife   = 15 * time.Minute
	roleFresh   = 5 * time.Minute // whether somebody still is an administrator is asked again
	maxSessions = 100
	maxForm     = 16 << 10
)

// What keeps somebody out.
var (
	errNoSession = errors.New("page: not logged in")
	errNotAdmin  = errors.New("page: not an administrator")
)

// session is an administrator's browser.
type session struct {
	Name, CSRF string
	token      string // of the instance
	ends       time.Time

	mu      sync.Mutex
	checked time.Time // that they are an administrator
}

// sessions are in memory: a restart logs everybody out. Ids are kept as hashes.
type sessions struct {
	mu     sync.Mutex
	byID   map[[32]byte]*session
	logins map[[32]byte]login
}

// login is one under way, by the state that the instance brings back.
type login struct {
	browser, verifier string
	ends              time.Time
}

func newSessions() *sessions {
	return &sessions{byID: map[[32]byte]*session{}, logins: map[[32]byte]login{}}
}

func hash(text string) [32]byte { return sha256.Sum256([]byte(text)) }

// room drops what is over, and the one that ends first when there are too many.
func room[T any](m map[[32]byte]T, ends func(T) time.Time, now time.Time) (over []T) {
	var first [32]byte
	for id, one := range m {
		if now.After(ends(one)) {
			over = append(over, one)
			delete(m, id)
			continue
		}
		if held, ok := m[first]; !ok || ends(one).Before(ends(held)) {
			first = id
		}
	}
	if len(m) >= maxSessions {
		over = append(over, m[first])
		delete(m, first)
	}
	return over
}

func (p *Page) isSecure() bool { return strings.HasPrefix(p.opt.URL, "https://") }

// cookie is HttpOnly, and over https bound to the host and never sent in the clear.
func (p *Page) cookie(name, value string, life time.Duration, site http.SameSite) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure wherever the page is reached over https; on loopback and the socket it is not
		Name: p.cookieName(name), Value: value, Path: "/", MaxAge: int(life / time.Second),
		HttpOnly: true, Secure: p.isSecure(), SameSite: site,
	}
}

func (p *Page) cookieName(name string) string {
	if p.isSecure() {
		return "__Host-sealgate-" + name
	}
	return "sealgate-" + name
}

func (p *Page) cookieOf(r *http.Request, name string) string {
	c, err := r.Cookie(p.cookieName(name))
	if err != nil {
		return ""
	}
	return c.Value
}

// admitted is the session of a browser whose person still is an administrator.
func (p *Page) admitted(r *http.Request) (*session, error) {
	id := hash(p.cookieOf(r, "admin"))
	p.sessions.mu.Lock()
	s, ok := p.sessions.byID[id]
	p.sessions.mu.Unlock()
	now := p.opt.Clock()
	if !ok || now.After(s.ends) {
		return nil, errNoSession
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.checked) < roleFresh {
		return s, nil
	}
	isAdmin, err := p.opt.Instance.IsAdmin(r.Context(), s.token)
	switch {
	case errors.Is(err, mastodon.ErrToken) || err == nil && !isAdmin:
		p.forget(id)
		return nil, errNotAdmin
	case err != nil && now.Sub(s.checked) > time.Hour: // an instance that is away does not lock its operator out at once
		return nil, err
	case err == nil:
		s.checked = now
	}
	return s, nil
}

func (p *Page) forget(id [32]byte) {
	p.sessions.mu.Lock()
	defer p.sessions.mu.Unlock()
	delete(p.sessions.byID, id)
}

// login sends the browser to the instance's own login.
func (p *Page) login(w http.ResponseWriter, r *http.Request) {
	if p.opt.Instance == nil {
		p.fail(w, http.StatusNotFound, "Nobody can log in here.")
		return
	}
	browser, state, verifier := random(), random(), random()
	challenge := hash(verifier)
	there, err := p.opt.Instance.LoginPage(r.Context(), state, base64.RawURLEncoding.EncodeToString(challenge[:]))
	if err != nil {
		p.refuse(w, err)
		return
	}
	now := p.opt.Clock()
	p.sessions.mu.Lock()
	room(p.sessions.logins, func(l login) time.Time { return l.ends }, now)
	p.sessions.logins[hash(state)] = login{browser, verifier, now.Add(loginLife)}
	p.sessions.mu.Unlock()
	// Lax: the instance, another site, sends the browser back.
	http.SetCookie(w, p.cookie("login", browser, loginLife, http.SameSiteLaxMode))
	http.Redirect(w, r, there, http.StatusSeeOther)
}

// callback is where the instance sends the browser back to. It answers with a page that leads on, because
// a Strict cookie does not travel along a redirect that another site began.
func (p *Page) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.sessions.mu.Lock()
	l, ok := p.sessions.logins[hash(q.Get("state"))]
	delete(p.sessions.logins, hash(q.Get("state")))
	p.sessions.mu.Unlock()
	isSame := subtle.ConstantTimeCompare([]byte(l.browser), []byte(p.cookieOf(r, "login"))) == 1
	if !ok || !isSame || p.opt.Clock().After(l.ends) {
		p.fail(w, http.StatusBadRequest, "This login did not begin in this browser, took too long, or was finished before. Begin anew.")
		return
	}
	if q.Get("code") == "" {
		p.fail(w, http.StatusForbidden, "The instance did not log you in.")
		return
	}
	id, err := p.open(r.Context(), q.Get("code"), l.verifier)
	if err != nil {
		p.refuse(w, err)
		return
	}
	http.SetCookie(w, p.cookie("login", "", -time.Second, http.SameSiteLaxMode))
	http.SetCookie(w, p.cookie("admin", id, sessionLife, http.SameSiteStrictMode))
	p.render(w, http.StatusOK, "welcome", frame{Title: "Logged in"})
}

// open begins a session, if the person is an administrator.
func (p *Page) open(ctx context.Context, code, verifier string) (string, error) {
	token, caller, err := p.opt.Instance.Redeem(ctx, code, verifier)
	if err != nil {
		return "", err
	}
	isAdmin, err := p.opt.Instance.IsAdmin(ctx, token)
	if err == nil && !isAdmin {
		err = errNotAdmin
	}
	if err != nil {
		p.opt.Instance.End(ctx, token)
		return "", err
	}
	id, now := random(), p.opt.Clock()
	p.sessions.mu.Lock()
	over := room(p.sessions.byID, func(s *session) time.Time { return s.ends }, now)
	p.sessions.byID[hash(id)] = &session{Name: "@" + caller.Name, CSRF: random(), token: token, ends: now.Add(sessionLife), checked: now}
	p.sessions.mu.Unlock()
	for _, s := range over {
		p.opt.Instance.End(ctx, s.token)
	}
	p.opt.Log.Info("an administrator logged in at the operator's page")
	return id, nil
}

func (p *Page) logout(w http.ResponseWriter, r *http.Request) {
	s, err := p.admitted(r)
	if err == nil {
		err = p.genuine(w, r, s)
	}
	if err != nil {
		p.refuse(w, err)
		return
	}
	p.forget(hash(p.cookieOf(r, "admin")))
	p.opt.Instance.End(r.Context(), s.token)
	http.SetCookie(w, p.cookie("admin", "", -time.Second, http.SameSiteStrictMode))
	http.Redirect(w, r, "/page/", http.StatusSeeOther)
}

var errForeign = errors.New("page: a form from another site")

// genuine says whether our own page sent a form: the browser says so, and the form has the session's
// token. What sends neither Sec-Fetch-Site nor Origin is no browser, and still needs the token.
func (p *Page) genuine(w http.ResponseWriter, r *http.Request, s *session) error {
	site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	_, host, _ := strings.Cut(origin, "://")
	if site != "" && site != "same-origin" || origin != "" && !strings.EqualFold(host, r.Host) {
		return errForeign
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil || subtle.ConstantTimeCompare([]byte(r.PostForm.Get("csrf")), []byte(s.CSRF)) != 1 {
		return errForeign
	}
	return nil
}

// refuse turns an error into a page.
func (p *Page) refuse(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errNoSession):
		p.render(w, http.StatusUnauthorized, "door", frame{Title: "Log in"})
	case errors.Is(err, errNotAdmin):
		p.fail(w, http.StatusForbidden, "This page is for administrators of "+p.opt.Domain+": your role there may not manage federation.")
	case errors.Is(err, errForeign):
		p.fail(w, http.StatusForbidden, "Another site tried to act for you, or the page was too old. Nothing was changed: go back and reload it.")
	case errors.Is(err, mastodon.ErrToken), errors.Is(err, mastodon.ErrScope):
		p.fail(w, http.StatusForbidden, "The instance did not log you in.")
	default:
		p.opt.Log.Warn("operator's page could not ask the instance", "error", err)
		p.fail(w, http.StatusServiceUnavailable, "The instance cannot be asked now. The socket still works: see docs/operations.md.")
	}
}
