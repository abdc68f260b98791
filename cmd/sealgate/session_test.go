package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

const ownPage = "same-origin" // Sec-Fetch-Site

// openSession signs bob in for the pages of the gateway's own origin; landed is the last answer.
func (v *visitor) openSession(t *testing.T, back string) (landed seen) {
	t.Helper()
	q := v.login(t, v.send(t, "GET", "/e2ee/session?"+url.Values{"return": {back}}.Encode(), nil), "bob")
	return v.send(t, "GET", "/e2ee/session?"+q.Encode(), nil)
}

func (v *visitor) devices(t *testing.T) (ids []string) {
	t.Helper()
	got := v.send(t, "GET", "/e2ee/users/bob/devices", nil, "Sec-Fetch-Site", ownPage)
	var list struct {
		Devices []struct {
			ID, Host string
			Current  bool
		}
	}
	if err := json.Unmarshal([]byte(got.body), &list); err != nil || got.status != http.StatusOK {
		t.Fatalf("devices: %d %s", got.status, got.body)
	}
	for _, d := range list.Devices {
		if d.Current != (len(list.Devices) == 1) || d.Host != strings.TrimPrefix(v.base, "http://") {
			t.Errorf("the session is listed as %+v", d)
		}
		ids = append(ids, d.ID)
	}
	return ids
}

// TestSession: a browser signs in once for the pages of the instance's own origin, which then need no token.
func TestSession(t *testing.T) {
	s := serveHere(t)
	v := newVisitor(t, s.base)
	landed := v.openSession(t, "/web/talk?x=1")
	set := landed.header.Get("Set-Cookie")
	if landed.status != http.StatusSeeOther || landed.header.Get("Location") != "/web/talk?x=1" {
		t.Fatalf("it leads to %d %q: %s", landed.status, landed.header.Get("Location"), landed.body)
	}
	for _, want := range []string{"sealgate=sga_", "HttpOnly", "SameSite=Strict", "path=/", "max-age=2592000"} {
		if !strings.Contains(set, want) {
			t.Errorf("the cookie %q lacks %q", set, want)
		}
	}
	outbox := strings.TrimPrefix(s.bob.Actor, s.base) + "/outbox"
	for _, c := range []struct {
		method, path string
		form         url.Values
		want         int
	}{
		{"GET", "/e2ee/users/bob/messages", nil, 200},
		{"GET", "/e2ee/users/bob/keyPackages?history=1", nil, 200},
		{"GET", "/e2ee/requests", nil, 200},
		{"GET", strings.TrimSuffix(outbox, "outbox") + "inbox", nil, 200},
		{"POST", "/e2ee/proxy", url.Values{"id": {s.bob.Actor}}, 200},
		{"POST", outbox, url.Values{}, 400},
		{"POST", "/e2ee/requests/none?action=drop", nil, 404},
		{"DELETE", "/e2ee/users/bob/messages?through=none", nil, 404},
		{"DELETE", "/e2ee/users/bob/push?id=none", nil, 404},
	} {
		if got := v.send(t, c.method, c.path, c.form, "Sec-Fetch-Site", ownPage); got.status != c.want {
			t.Errorf("own page, %s %s: %d %s, want %d", c.method, c.path, got.status, got.body, c.want)
		}
		if c.method != "GET" {
			if got := v.send(t, c.method, c.path, c.form, "Origin", s.base); got.status != c.want {
				t.Errorf("own page in an older browser, %s %s: %d, want %d", c.method, c.path, got.status, c.want)
			}
		}
		s.refusesOthers(t, v, c.method, c.path, c.form)
	}
	v.send(t, "GET", "/anything", nil)
	if saw := *s.cookies.Load(); strings.Contains(saw, "sealgate") {
		t.Errorf("the instance saw %q", saw)
	}
}

// refusesOthers: with the person's cookie, but from a page elsewhere, a request is one without a token.
func (s *served) refusesOthers(t *testing.T, v *visitor, method, path string, form url.Values) {
	t.Helper()
	anonymous := newVisitor(t, s.base).send(t, method, path, form)
	for _, from := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site", "Origin", s.base},
		{"Origin", "https://evil.example"},
		{"Origin", "null"},
	} {
		got := v.send(t, method, path, form, from...)
		if got.status != anonymous.status || got.body != anonymous.body || got.status < 400 {
			t.Errorf("%s, %s %s: %d %s, without a cookie %d", from, method, path, got.status, got.body, anonymous.status)
		}
	}
	if got := v.send(t, method, path, form); method != "GET" && got.status != anonymous.status {
		t.Errorf("%s %s from nowhere: %d", method, path, got.status)
	}
}

// TestDevicesAreTheirOwnersAlone: nobody else sees or ends them.
func TestDevicesAreTheirOwnersAlone(t *testing.T) {
	s := serveHere(t)
	v := newVisitor(t, s.base)
	v.openSession(t, "/")
	own := v.devices(t)
	eve, err := s.sample.AddPerson("eve")
	if err != nil || len(own) != 1 {
		t.Fatalf("%q, %v", own, err)
	}
	for authorization, want := range map[string]int{"": http.StatusUnauthorized, "Bearer " + s.sample.Token(eve, "read", "write"): http.StatusNotFound} {
		for _, ask := range []string{"GET /e2ee/users/bob/devices", "DELETE /e2ee/users/bob/devices/" + own[0], "DELETE /e2ee/users/eve/devices/" + own[0]} {
			method, path, _ := strings.Cut(ask, " ")
			if got := newVisitor(t, s.base).send(t, method, path, nil, "Authorization", authorization); got.status != want || strings.Contains(got.body, own[0]) {
				t.Errorf("%s with %q: %d %s, want %d", ask, authorization, got.status, got.body, want)
			}
		}
	}
	if left := v.devices(t); len(left) != 1 || left[0] != own[0] {
		t.Errorf("%q are left of %q", left, own)
	}
}

// TestSessionEnds: signing in again replaces it; it is revoked like a device, and by signing out.
func TestSessionEnds(t *testing.T) {
	s := serveHere(t)
	v := newVisitor(t, s.base)
	reads := func() int { return v.send(t, "GET", "/e2ee/users/bob/messages", nil, "Sec-Fetch-Site", ownPage).status }
	v.openSession(t, "/")
	first := v.devices(t)
	v.openSession(t, "/")
	again := v.devices(t)
	if len(again) != 1 || again[0] == first[0] {
		t.Errorf("after signing in again the devices are %q, before %q", again, first)
	}
	if got := v.send(t, "DELETE", "/e2ee/users/bob/devices/"+again[0], nil, "Sec-Fetch-Site", ownPage); got.status != http.StatusNoContent || reads() != http.StatusUnauthorized {
		t.Errorf("revoked with %d, it reads with %d", got.status, reads())
	}
	v.openSession(t, "/")
	if got := v.send(t, "DELETE", "/e2ee/session", nil, "Sec-Fetch-Site", "cross-site"); got.status != http.StatusForbidden || reads() != http.StatusOK {
		t.Errorf("another site signs out: %d, then it reads with %d", got.status, reads())
	}
	if got := v.send(t, "DELETE", "/e2ee/session", nil, "Sec-Fetch-Site", ownPage); got.status != http.StatusNoContent || reads() != http.StatusUnauthorized {
		t.Errorf("signed out with %d, it reads with %d", got.status, reads())
	}
	if n := s.sample.Asked("POST", "/oauth/revoke"); n != 3 {
		t.Errorf("the instance's tokens were revoked %d times, want 3", n)
	}
}

// TestHostileSessions: no code of another's, no way elsewhere.
func TestHostileSessions(t *testing.T) {
	s := serveHere(t)
	v, victim := newVisitor(t, s.base), newVisitor(t, s.base)
	for _, back := range []string{"https://evil.example/", "//evil.example/", `/\evil.example/`, "javascript:alert(1)", "x"} {
		if to := v.openSession(t, back).header.Get("Location"); to != "/" {
			t.Errorf("back to %q leads to %q", back, to)
		}
	}
	if to := victim.send(t, "GET", "/e2ee/session?error=x&state=//evil.example", nil).header.Get("Location"); to != "/" {
		t.Errorf("an error leads to %q", to)
	}
	victim.send(t, "GET", "/e2ee/session", nil) // it has begun one of its own
	q := v.login(t, v.send(t, "GET", "/e2ee/session", nil), "bob")
	injected := victim.send(t, "GET", "/e2ee/session?"+q.Encode(), nil)
	if injected.status != http.StatusBadRequest || injected.header.Get("Set-Cookie") != "" {
		t.Errorf("another's code is answered %d %v", injected.status, injected.header)
	}
	if late := v.send(t, "GET", "/e2ee/session?"+q.Encode(), nil); late.status != http.StatusBadRequest {
		t.Errorf("a code that was shown is answered %d", late.status)
	}
	stolen := url.Values{
		"client_id": {s.base + "/e2ee/session"}, "redirect_uri": {"https://evil.example/"}, "response_type": {"code"},
		"code_challenge": {strings.Repeat("x", 43)}, "code_challenge_method": {"S256"},
	}
	if got := victim.send(t, "GET", "/e2ee/oauth/authorize?"+stolen.Encode(), nil); got.status != http.StatusBadRequest {
		t.Errorf("a session elsewhere: %d", got.status)
	}
}
