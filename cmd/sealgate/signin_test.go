package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// visitor is a browser: it keeps cookies, says which site it is on, and follows nothing by itself.
type visitor struct {
	*http.Client
	base string
}

type seen struct {
	status int
	header http.Header
	body   string
}

func newVisitor(t *testing.T, base string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{base: base, Client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

func (v *visitor) send(t *testing.T, method, target string, form url.Values, header ...string) seen {
	t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	if strings.HasPrefix(target, "/") {
		target = v.base + target
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := v.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return seen{res.StatusCode, res.Header, string(b)}
}

// client is an E2EE client's web site: its document, and where the browser must come back to.
type client struct{ id, redirect string }

func newClient(t *testing.T) client {
	t.Helper()
	mux := http.NewServeMux()
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	c := client{site.URL + "/client", site.URL + "/back"}
	mux.HandleFunc("/client", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"client_id":%q,"client_name":"<b>Nice</b>","redirect_uris":[%q]}`, c.id, c.redirect)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/client", http.StatusFound) })
	return c
}

const verifier = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL"

func (c client) query(scope string) url.Values {
	challenge := sha256.Sum256([]byte(verifier))
	return url.Values{
		"client_id": {c.id}, "redirect_uri": {c.redirect}, "response_type": {"code"}, "scope": {scope}, "state": {"mine"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
}

// ticketOf is the hidden field of the page of consent.
func ticketOf(t *testing.T, page seen) string {
	t.Helper()
	found := regexp.MustCompile(`name="ticket" value="([^"]+)"`).FindStringSubmatch(page.body)
	if page.status != http.StatusOK || found == nil {
		t.Fatalf("no page of consent: %d %s", page.status, page.body)
	}
	return html.UnescapeString(found[1])
}

// login goes from the page of consent to the client's address: consent, the instance's login, back.
func (v *visitor) login(t *testing.T, page seen, name string) url.Values {
	t.Helper()
	consented := v.send(t, "POST", "/e2ee/oauth/authorize", url.Values{"ticket": {ticketOf(t, page)}, "answer": {"allow"}}, "Origin", v.base)
	instance := consented.header.Get("Location")
	if consented.status != http.StatusSeeOther || !strings.HasPrefix(instance, v.base+"/oauth/authorize?") {
		t.Fatalf("consent leads to %d %q: %s", consented.status, instance, consented.body)
	}
	there := v.send(t, "POST", instance, url.Values{"login": {name}})
	back := v.send(t, "GET", there.header.Get("Location"), nil)
	u, err := url.Parse(back.header.Get("Location"))
	if err != nil || back.status != http.StatusSeeOther {
		t.Fatalf("the callback answers %d %q: %s", back.status, back.header.Get("Location"), back.body)
	}
	return u.Query()
}

type granted struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Scope   string `json:"scope"`
	Actor   string `json:"activitypub_actor_id"`
	Error   string `json:"error"`
}

func (v *visitor) token(t *testing.T, path string, form url.Values) (granted, seen) {
	t.Helper()
	got := v.send(t, "POST", path, form)
	var g granted
	if err := json.Unmarshal([]byte(got.body), &g); err != nil {
		t.Fatalf("%s answers %d %s", path, got.status, got.body)
	}
	return g, got
}

func (c client) exchange(code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "client_id": {c.id}, "redirect_uri": {c.redirect}, "code_verifier": {verifier},
	}
}

// signIn is all of it, at the address given.
func (s *served) signIn(t *testing.T, c client, authorize, token string) granted {
	t.Helper()
	v := newVisitor(t, s.base)
	q := v.login(t, v.send(t, "GET", authorize+"?"+c.query("read write").Encode(), nil), "bob")
	g, got := v.token(t, token, c.exchange(q.Get("code")))
	if got.status != http.StatusOK || g.Access == "" {
		t.Fatalf("no token: %d %s", got.status, got.body)
	}
	if g.Actor != s.bob.Actor || g.Scope != "read write" || got.header.Get("Cache-Control") != "no-store" || got.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("the token answer: %+v %v", g, got.header)
	}
	return g
}

// TestSignIn is a client's whole way, twice: the application is registered once.
func TestSignIn(t *testing.T) {
	s, c := serveHere(t), newClient(t)
	phone := s.signIn(t, c, "/e2ee/oauth/authorize", "/e2ee/oauth/token")
	laptop := s.signIn(t, c, "/oauth/authorize", "/oauth/token")
	if n := s.sample.Asked("POST", "/api/v1/apps"); n != 1 {
		t.Errorf("%d applications were registered", n)
	}
	for _, g := range []granted{phone, laptop} {
		if status, body := s.get(t, "/e2ee/users/bob/messages", g.Access); status != http.StatusOK {
			t.Errorf("messages: %d %s", status, body)
		}
	}
	status, body := s.get(t, "/e2ee/users/bob/devices", phone.Access)
	var list struct {
		Devices []struct {
			ID      string
			Host    string
			Current bool
		}
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil || status != http.StatusOK || len(list.Devices) != 2 {
		t.Fatalf("devices: %d %s", status, body)
	}
	v := newVisitor(t, s.base)
	for _, d := range list.Devices {
		if d.Current {
			continue
		}
		if got := v.send(t, "DELETE", "/e2ee/users/bob/devices/"+d.ID, nil, "Authorization", "Bearer "+phone.Access); got.status != http.StatusNoContent {
			t.Errorf("sign the laptop out: %d %s", got.status, got.body)
		}
	}
	if status, _ := s.get(t, "/e2ee/users/bob/messages", laptop.Access); status != http.StatusUnauthorized {
		t.Errorf("the laptop still reads: %d", status)
	}
	if got := v.send(t, "POST", "/oauth/revoke", url.Values{"token": {phone.Access}}); got.status != http.StatusOK {
		t.Errorf("revoke: %d %s", got.status, got.body)
	}
	if status, _ := s.get(t, "/e2ee/users/bob/messages", phone.Access); status != http.StatusUnauthorized {
		t.Errorf("the phone still reads: %d", status)
	}
	if got := v.send(t, "POST", "/e2ee/oauth/revoke", url.Values{"client_id": {"x"}}); got.status != http.StatusBadRequest || !strings.Contains(got.body, "invalid_request") {
		t.Errorf("revoke nothing: %d %s", got.status, got.body) // RFC 7009 §2.1
	}
	if n := s.sample.Asked("POST", "/oauth/revoke"); n != 2 { // this instance gives each sign-in a token of its own
		t.Errorf("the instance's tokens were revoked %d times", n)
	}
}

// TestSignInIsFound: from the actor, and from the metadata.
func TestSignInIsFound(t *testing.T) {
	s := serveHere(t)
	v := newVisitor(t, s.base)
	doc := v.send(t, "GET", s.bob.Actor, nil, "Accept", "application/activity+json")
	for _, want := range []string{"/e2ee/oauth/authorize", "/e2ee/oauth/token", "/e2ee/proxy"} {
		if !strings.Contains(doc.body, `"`+s.base+want+`"`) {
			t.Errorf("the actor does not say %s: %s", want, doc.body)
		}
	}
	own := v.send(t, "GET", "/.well-known/oauth-authorization-server/e2ee/oauth", nil)
	if !strings.Contains(own.body, `"issuer":"`+s.base+`/e2ee/oauth"`) || own.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("metadata: %+v", own)
	}
	instances := v.send(t, "GET", "/.well-known/oauth-authorization-server", nil)
	if !strings.Contains(instances.body, `"issuer":"`+s.base+`/"`) {
		t.Errorf("the instance's metadata are not its own: %+v", instances)
	}
	for _, path := range []string{"/e2ee/oauth/token", "/e2ee/oauth/revoke", "/e2ee/proxy", "/e2ee/users/bob/devices", "/.well-known/oauth-authorization-server/e2ee/oauth"} {
		got := v.send(t, "OPTIONS", path, nil, "Origin", "https://app.example", "Access-Control-Request-Method", "POST")
		if got.status != http.StatusNoContent || got.header.Get("Access-Control-Allow-Origin") != "*" ||
			!strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "Authorization") {
			t.Errorf("preflight of %s: %+v", path, got)
		}
	}
}

// TestOrdinaryAppsNoticeNothing: the instance's own login and tokens, through the gateway.
func TestOrdinaryAppsNoticeNothing(t *testing.T) {
	s := serveHere(t)
	v := newVisitor(t, s.base)
	registered := v.send(t, "POST", "/api/v1/apps", url.Values{"client_name": {"app"}, "redirect_uris": {"https://app.example/cb"}, "scopes": {"read"}})
	var app struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal([]byte(registered.body), &app); err != nil {
		t.Fatal(err)
	}
	page := "/oauth/authorize?" + url.Values{"client_id": {app.ID}, "redirect_uri": {"https://app.example/cb"}, "scope": {"read"}, "state": {"x"}}.Encode()
	if got := v.send(t, "GET", page, nil); !strings.Contains(got.body, "I am bob") || len(got.header.Values("Set-Cookie")) != 0 {
		t.Errorf("the login page: %+v", got)
	}
	back, err := url.Parse(v.send(t, "POST", page, url.Values{"login": {"bob"}}).header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	g, got := v.token(t, "/oauth/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {"https://app.example/cb"},
		"client_id": {app.ID}, "client_secret": {app.Secret},
	})
	if g.Access == "" || strings.HasPrefix(g.Access, "sga_") {
		t.Errorf("the token: %d %s", got.status, got.body)
	}
}

// TestHostileSignIns: each is refused, and nobody is sent to where an attacker wants.
func TestHostileSignIns(t *testing.T) {
	s, c := serveHere(t), newClient(t)
	v := newVisitor(t, s.base)
	page := v.send(t, "GET", "/e2ee/oauth/authorize?"+c.query("read").Encode(), nil)
	policy := page.header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'self' " + strings.TrimSuffix(c.redirect, "/back")} {
		if !strings.Contains(policy, want) {
			t.Errorf("the page's policy %q lacks %q", policy, want)
		}
	}
	if !strings.Contains(page.body, strings.TrimPrefix(strings.TrimSuffix(c.id, "/client"), "http://")) || strings.Contains(page.body, "<b>") || strings.Contains(page.body, "<script") {
		t.Errorf("the page: %s", page.body)
	}
	answer := url.Values{"ticket": {ticketOf(t, page)}, "answer": {"allow"}}
	refused := func(name string, got seen, status int) {
		if got.status != status || got.header.Get("Location") != "" {
			t.Errorf("%s: %d %q, want %d and no redirect", name, got.status, got.header.Get("Location"), status)
		}
	}
	refused("another site's form", v.send(t, "POST", "/e2ee/oauth/authorize", answer, "Origin", "https://evil.example"), 403)
	refused("another site's form, newer browser", v.send(t, "POST", "/e2ee/oauth/authorize", answer, "Sec-Fetch-Site", "cross-site", "Origin", s.base), 403)
	refused("a form from nowhere", v.send(t, "POST", "/e2ee/oauth/authorize", answer), 403)
	refused("a stolen ticket", newVisitor(t, s.base).send(t, "POST", "/e2ee/oauth/authorize", answer, "Origin", s.base), 400)
	refused("a callback of nobody", v.send(t, "GET", "/e2ee/oauth/callback?code=x&state=y", nil), 400)
	with := func(name, value string) string {
		q := c.query("read")
		q.Set(name, value)
		return "/e2ee/oauth/authorize?" + q.Encode()
	}
	refused("an open redirect", v.send(t, "GET", with("redirect_uri", "https://evil.example/"), nil), 400)
	refused("a document that moved", v.send(t, "GET", with("client_id", strings.Replace(c.id, "/client", "/moved", 1)), nil), 400)
	refused("a private address", v.send(t, "GET", with("client_id", "https://10.0.0.1/client"), nil), 400)
	refused("a client that is no URL", v.send(t, "GET", with("client_id", "abc"), nil), 400)
	refused("a parameter twice", v.send(t, "GET", with("x", "")+"&client_id=x", nil), 400)

	denied := v.send(t, "POST", "/e2ee/oauth/authorize", url.Values{"ticket": answer["ticket"], "answer": {"deny"}}, "Origin", s.base)
	if to := denied.header.Get("Location"); !strings.HasPrefix(to, c.redirect+"?error=access_denied") {
		t.Errorf("no is answered with %d %q", denied.status, to)
	}
	// A code of the attacker's own sign-in, brought to the victim's callback.
	consented := v.send(t, "POST", "/e2ee/oauth/authorize", answer, "Origin", s.base)
	there := v.send(t, "POST", consented.header.Get("Location"), url.Values{"login": {"bob"}})
	refused("a code injected", newVisitor(t, s.base).send(t, "GET", there.header.Get("Location"), nil), 400)
	back := v.send(t, "GET", there.header.Get("Location"), nil)
	refused("a state replayed", v.send(t, "GET", there.header.Get("Location"), nil), 400)
	u, err := url.Parse(back.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	g, got := v.token(t, "/e2ee/oauth/token", c.exchange(u.Query().Get("code")))
	if got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if status, _ := s.get(t, "/e2ee/users/other/messages", g.Access); status != http.StatusNotFound {
		t.Errorf("another person's mailbox: %d", status)
	}
	narrow := v.send(t, "DELETE", "/e2ee/users/bob/devices/x", nil, "Authorization", "Bearer "+g.Access)
	if narrow.status != http.StatusForbidden || !strings.Contains(narrow.body, "write") {
		t.Errorf("a token that may only read: %+v", narrow)
	}
	again, _ := v.token(t, "/e2ee/oauth/token", c.exchange(u.Query().Get("code")))
	if status, _ := s.get(t, "/e2ee/users/bob/messages", g.Access); again.Error != "invalid_grant" || status != http.StatusUnauthorized {
		t.Errorf("a code replayed: %+v, its first token reads: %d", again, status)
	}
}

// TestTheApplicationIsRegisteredAnew when the instance cleared it away, after a restart too.
func TestTheApplicationIsRegisteredAnew(t *testing.T) {
	s, c := serveHere(t), newClient(t)
	s.signIn(t, c, "/e2ee/oauth/authorize", "/e2ee/oauth/token")
	s.end(t)
	s.sample.ForgetApps()
	s.again(t)
	s.signIn(t, c, "/e2ee/oauth/authorize", "/e2ee/oauth/token")
	if n := s.sample.Asked("POST", "/api/v1/apps"); n != 2 {
		t.Errorf("%d applications were registered", n)
	}
}

// TestLookingOut: other servers' documents, our own, and nothing inside.
func TestLookingOut(t *testing.T) {
	s, c := serveHere(t), newClient(t)
	g := s.signIn(t, c, "/e2ee/oauth/authorize", "/e2ee/oauth/token")
	var signed bool
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch signed = r.Header.Get("Signature") != ""; {
		case r.URL.Path == "/html":
			fmt.Fprint(w, "<html>")
		case r.URL.Path == "/locked" && !signed:
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/inside":
			http.Redirect(w, r, "http://"+s.upstream+"/users/bob", http.StatusFound)
		case r.URL.Path == "/gone":
			w.WriteHeader(http.StatusGone)
		default:
			w.Header().Set("Content-Type", "application/activity+json")
			fmt.Fprintf(w, `{"id":"http://%s%s"}`, r.Host, r.URL.Path)
		}
	}))
	t.Cleanup(far.Close)
	v := newVisitor(t, s.base)
	for id, want := range map[string]struct {
		status int
		text   string
	}{
		far.URL + "/users/zoe#key":            {200, "/users/zoe"},
		far.URL + "/locked":                   {200, "/locked"},
		far.URL + "/html":                     {502, ""},
		far.URL + "/gone":                     {404, ""},
		far.URL + "/inside":                   {502, ""},
		"http://" + s.upstream + "/users/bob": {400, "not public"},
		"http://10.0.0.1/":                    {502, ""},
		"file:///etc/passwd":                  {400, ""},
		"":                                    {400, ""},
		s.bob.Actor:                           {200, "/e2ee/users/bob/messages"},
		s.base + "/e2ee/users/bob/messages":   {200, "OrderedCollection"},
		s.base + "/e2ee/users/bob/messages?page=99": {404, ""},
		s.base + "/e2ee/users/other/messages":       {404, ""},
		s.base + "/e2ee/oauth/authorize":            {404, ""},
		s.base + "/nobody":                          {404, ""},
	} {
		got := v.send(t, "POST", "/e2ee/proxy", url.Values{"id": {id}}, "Authorization", "Bearer "+g.Access)
		if got.status != want.status || !strings.Contains(got.body, want.text) || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%q: %d %s, want %d", id, got.status, got.body, want.status)
		}
		if got.status == http.StatusOK && got.header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("%q may be kept: %q", id, got.header.Get("Cache-Control"))
		}
	}
	if got := v.send(t, "POST", "/e2ee/proxy", url.Values{"id": {far.URL + "/x"}}); got.status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", got.status)
	}
	busy := 0
	for range 130 {
		if v.send(t, "POST", "/e2ee/proxy", url.Values{"id": {"x"}}, "Authorization", "Bearer "+g.Access).status == http.StatusTooManyRequests {
			busy++
		}
	}
	if busy == 0 {
		t.Error("one person may ask without end")
	}
}
