package peers_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

const signInVerifier = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL"

// TestSignIn goes the whole way of an E2EE client with a real instance, which has no metadata, no
// scopes, no PKCE and ids that are names.
func TestSignIn(t *testing.T) {
	if testing.Short() {
		t.Skip("the real peers are left out by -short")
	}
	domain := freeAddress(t)
	s := startSnac(t, domain, "bob")
	g := startGateway(t, buildGateway(t.Context(), t), domain, s.address)
	client := startClient(t)
	token := s.signIn(t, g.base, client, "bob")
	if got := get(t, g.base+"/e2ee/users/bob/messages", token); got.status != http.StatusOK {
		t.Errorf("messages: %d %s", got.status, got.body)
	}
	got := get(t, g.base+"/e2ee/users/bob/devices", token)
	if got.status != http.StatusOK || !bytes.Contains(got.body, []byte(client)) {
		t.Errorf("devices: %d %s", got.status, got.body)
	}
	if got := postForm(t, g.base+"/e2ee/oauth/revoke", "", url.Values{"token": {token}}); got.status != http.StatusOK {
		t.Errorf("revoke: %d %s", got.status, got.body)
	}
	if got := get(t, g.base+"/e2ee/users/bob/messages", token); got.status != http.StatusUnauthorized {
		t.Errorf("messages with a revoked token: %d %s", got.status, got.body)
	}
}

// startClient serves the document of a client, and gives its id.
func startClient(t *testing.T) string {
	t.Helper()
	var site *httptest.Server
	site = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"client_id":"%[1]s/client","redirect_uris":["%[1]s/back"]}`, site.URL)
	}))
	t.Cleanup(site.Close)
	return site.URL + "/client"
}

// signIn is what a browser does between the client's first request and its token.
func (s *snac) signIn(t *testing.T, base, client, name string) string {
	t.Helper()
	back := strings.TrimSuffix(client, "client") + "back"
	challenge := sha256.Sum256([]byte(signInVerifier))
	page := get(t, base+"/oauth/authorize?"+url.Values{
		"client_id": {client}, "redirect_uri": {back}, "response_type": {"code"}, "scope": {"read write"}, "state": {"mine"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode(), "")
	cookie, _, _ := strings.Cut(page.header.Get("Set-Cookie"), ";")
	consented := withCookie(t, http.MethodPost, base+"/e2ee/oauth/authorize", cookie, url.Values{
		"ticket": {hidden(t, page.body, "ticket")}, "answer": {"allow"},
	})
	form := get(t, consented.header.Get("Location"), "")
	login := postForm(t, action(t, form.body), "", url.Values{
		"login": {name}, "passwd": {s.password[name]}, "redir": {hidden(t, form.body, "redir")},
		"cid": {hidden(t, form.body, "cid")}, "state": {hidden(t, form.body, "state")},
	})
	callback := login.header.Get("Location")
	if !strings.HasPrefix(callback, base+"/e2ee/oauth/callback?") {
		t.Fatalf("snac sends the browser to %q: %d %s", callback, login.status, login.body)
	}
	finished := withCookie(t, http.MethodGet, callback, cookie, nil)
	at, err := url.Parse(finished.header.Get("Location"))
	if err != nil || at.Query().Get("code") == "" || at.Query().Get("state") != "mine" {
		t.Fatalf("the client gets %q: %d %s", finished.header.Get("Location"), finished.status, finished.body)
	}
	granted := postForm(t, base+"/oauth/token", "", url.Values{
		"grant_type": {"authorization_code"}, "code": {at.Query().Get("code")}, "client_id": {client},
		"redirect_uri": {back}, "code_verifier": {signInVerifier},
	})
	var tokens struct {
		Access string `json:"access_token"`
		Actor  string `json:"activitypub_actor_id"`
	}
	decode(t, granted.body, &tokens)
	if tokens.Actor != base+"/"+name || tokens.Access == "" {
		t.Fatalf("the token answer: %d %s", granted.status, granted.body)
	}
	return tokens.Access
}

func withCookie(t *testing.T, method, address, cookie string, form url.Values) reply {
	t.Helper()
	r := request(t, method, address, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Cookie", cookie)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return do(t, r, "")
}

func hidden(t *testing.T, page []byte, name string) string {
	t.Helper()
	found := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindSubmatch(page)
	if found == nil {
		t.Fatalf("no field %q in %s", name, page)
	}
	return html.UnescapeString(string(found[1]))
}

func action(t *testing.T, page []byte) string {
	t.Helper()
	found := regexp.MustCompile(`<form method="post" action="([^"]+)"`).FindSubmatch(page)
	if found == nil {
		t.Fatalf("no form in %s", page)
	}
	return string(found[1])
}
