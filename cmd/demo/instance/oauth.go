package instance

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// app is a registered application, asked what a person allowed it, until it redeems the code.
type app struct{ secret, redirect, scopes string }

// asked is an authorization code: good once.
type asked struct {
	app, redirect, challenge string
	person                   *Person
	scopes                   []string
}

// appsInTenMinutes is how many applications an address may register on Mastodon.
const appsInTenMinutes = 5

// serveOAuthMetadata is RFC 8414 as Mastodon 4.3 and later have it.
func (i *Instance) serveOAuthMetadata(w http.ResponseWriter, _ *http.Request) {
	writeTyped(w, "application/json; charset=utf-8", map[string]any{
		"issuer": i.options.Origin + "/", "authorization_endpoint": i.options.Origin + "/oauth/authorize",
		"token_endpoint": i.options.Origin + "/oauth/token", "code_challenge_methods_supported": []string{"S256"},
		"scopes_supported": strings.Fields(supportedScopes),
	})
}

const supportedScopes = "profile read read:accounts read:blocks read:follows read:mutes read:notifications read:search read:statuses write write:reports follow push"

func (i *Instance) serveApps(w http.ResponseWriter, r *http.Request) {
	scopes := r.PostFormValue("scopes")
	if slices.ContainsFunc(strings.Fields(scopes), func(s string) bool { return !slices.Contains(strings.Fields(supportedScopes), s) }) {
		writeJSON(w, http.StatusUnprocessableEntity, map[string]string{"error": "Validation failed: Scopes doesn't match configured on the server."})
		return
	}
	id := rand.Text()
	a := app{secret: rand.Text(), redirect: r.PostFormValue("redirect_uris"), scopes: scopes}
	i.mu.Lock()
	full := i.registered >= appsInTenMinutes
	if !full {
		i.registered++
		i.apps[id] = a
	}
	i.mu.Unlock()
	if full {
		writeJSON(w, http.StatusTooManyRequests, map[string]string{"error": "Too many requests"})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"client_id": id, "client_secret": a.secret, "redirect_uri": a.redirect, "name": r.PostFormValue("client_name")})
}

// ForgetApps is what Mastodon does to applications that nobody used for a day.
func (i *Instance) ForgetApps() {
	i.mu.Lock()
	defer i.mu.Unlock()
	clear(i.apps)
}

// loginPage has a button per person instead of a password.
func loginPage() *template.Template {
	return template.Must(template.New("").Parse(`<!doctype html><title>Log in</title><form method="post">
{{range $name, $values := .Query}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">{{end}}{{end}}
{{range .People}}<button name="login" value="{{.Name}}">I am {{.Name}}</button> {{end}}<button name="login" value="">Deny</button></form>`))
}

// serveLogin shows who could be signed in, and takes the answer.
func (i *Instance) serveLogin(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		writeText(w, http.StatusBadRequest, "bad form")
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	a, known := i.apps[r.Form.Get("client_id")]
	if !known || a.redirect != r.Form.Get("redirect_uri") {
		writeText(w, http.StatusUnauthorized, "Client authentication failed due to unknown client")
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = loginPage().Execute(w, map[string]any{"Query": map[string][]string(r.URL.Query()), "People": i.people})
		return
	}
	answer := url.Values{"state": {r.Form.Get("state")}, "error": {"access_denied"}}
	if p := i.find(r.PostFormValue("login")); p != nil {
		code := rand.Text()
		i.codes[code] = asked{
			app: r.Form.Get("client_id"), redirect: a.redirect, challenge: r.Form.Get("code_challenge"),
			person: p, scopes: strings.Fields(r.Form.Get("scope")),
		}
		answer = url.Values{"state": {r.Form.Get("state")}, "code": {code}}
	}
	http.Redirect(w, r, a.redirect+"?"+answer.Encode(), http.StatusFound)
}

// serveToken redeems codes, and gives applications tokens of their own.
func (i *Instance) serveToken(w http.ResponseWriter, r *http.Request) {
	id := r.PostFormValue("client_id")
	i.mu.Lock()
	a, known := i.apps[id]
	code := i.codes[r.PostFormValue("code")]
	delete(i.codes, r.PostFormValue("code"))
	i.mu.Unlock()
	verifier := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	isChallenge := code.challenge == "" || code.challenge == base64.RawURLEncoding.EncodeToString(verifier[:])
	switch {
	case !known || a.secret != r.PostFormValue("client_secret"):
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
	case r.PostFormValue("grant_type") == "client_credentials":
		writeJSON(w, http.StatusOK, map[string]string{"access_token": rand.Text(), "token_type": "Bearer", "scope": a.scopes})
	case code.person == nil || code.app != id || !isChallenge || code.redirect != r.PostFormValue("redirect_uri"):
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
	default:
		writeJSON(w, http.StatusOK, map[string]string{
			"access_token": i.Token(code.person, code.scopes...), "token_type": "Bearer", "scope": strings.Join(code.scopes, " "),
		})
	}
}
