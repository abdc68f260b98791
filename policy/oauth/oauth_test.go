package oauth_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
)

func TestSignIn(t *testing.T) {
	d := newDouble(t)
	back, err := d.server.Finish(t.Context(), oauth.Return{State: d.state(t, request(), "b"), Code: "of the instance"}, "b")
	if err != nil {
		t.Fatal(err)
	}
	q := parse(t, back)
	if !strings.HasPrefix(back, redirect+"&") || q.Get("state") != "client's" || q.Get("iss") != issuer || q.Get("tab") != "1" {
		t.Errorf("the client gets %s", back)
	}
	tokens, err := d.server.Exchange(t.Context(), exchange(q.Get("code")))
	if err != nil || tokens.Actor != "https://social.example/users/alice" {
		t.Fatalf("%+v %v", tokens, err)
	}
	c, err := d.server.Caller(t.Context(), tokens.Access)
	if err != nil || c.Name != "alice" || c.MayWrite() != nil {
		t.Errorf("%+v %v", c, err)
	}
	if kept := fmt.Sprintf("%+v %+v", d.notes, d.devices); strings.Contains(kept, tokens.Access[4:]) || strings.Contains(kept, tokens.Refresh[4:]) {
		t.Error("a token is kept as it is")
	}
}

func TestScopesAreThoseAllowed(t *testing.T) {
	d := newDouble(t)
	q := request()
	q.Scope = "read openid"
	tokens, err := d.server.Exchange(t.Context(), exchange(d.code(t, q)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := d.server.Caller(t.Context(), tokens.Access)
	if err != nil || c.MayRead() != nil || !errors.Is(c.MayWrite(), mastodon.ErrScope) {
		t.Errorf("%+v %v", c, err)
	}
}

func TestIssuerIsTheOneTheClientFound(t *testing.T) {
	d := newDouble(t)
	q := request()
	q.Entry = oauth.Root
	back, err := d.server.Finish(t.Context(), oauth.Return{State: d.state(t, q, "b"), Code: "of the instance"}, "b")
	if err != nil || parse(t, back).Get("iss") != "https://social.example/" {
		t.Errorf("%s %v", back, err)
	}
}

func TestNobodyIsSentToAClientThatCannotBeBelieved(t *testing.T) {
	doc := func(id, redirects string) string {
		return `{"client_id":"` + id + `","redirect_uris":` + redirects + `}`
	}
	for name, c := range map[string]struct{ id, doc, redirect string }{
		"another's document":      {"https://evil.example/c", doc(app, `["https://evil.example/"]`), "https://evil.example/"},
		"no document":             {"https://evil.example/none", "", "https://evil.example/"},
		"not JSON":                {"https://evil.example/c", "<html>", "https://evil.example/"},
		"plain http":              {"http://evil.example/c", doc("http://evil.example/c", `["https://evil.example/"]`), "https://evil.example/"},
		"no path":                 {"https://evil.example", doc("https://evil.example", `["https://evil.example/"]`), "https://evil.example/"},
		"dot segments":            {"https://evil.example/a/../c", doc("https://evil.example/a/../c", `["https://evil.example/"]`), "https://evil.example/"},
		"a fragment":              {"https://evil.example/c#x", doc("https://evil.example/c#x", `["https://evil.example/"]`), "https://evil.example/"},
		"a user":                  {"https://app.example@evil.example/c", doc("https://app.example@evil.example/c", `["https://evil.example/"]`), "https://evil.example/"},
		"a script":                {"https://evil.example/c", doc("https://evil.example/c", `["javascript:alert(1)"]`), "javascript:alert(1)"},
		"data":                    {"https://evil.example/c", doc("https://evil.example/c", `["data:text/html,x"]`), "data:text/html,x"},
		"plain http elsewhere":    {"https://evil.example/c", doc("https://evil.example/c", `["http://evil.example/"]`), "http://evil.example/"},
		"a secret":                {"https://evil.example/c", `{"client_id":"https://evil.example/c","redirect_uris":["https://evil.example/"],"token_endpoint_auth_method":"client_secret_basic"}`, "https://evil.example/"},
		"open redirect":           {app, "", "https://evil.example/"},
		"a longer redirect":       {app, "", redirect + "&x=1"},
		"a shorter redirect":      {app, "", "https://app.example/back"},
		"another case":            {app, "", "https://app.example/Back?tab=1"},
		"loopback, another path":  {app, "", "http://127.0.0.1:5000/other"},
		"loopback by another way": {app, "", "http://127.0.0.1:5000@evil.example/cb"},
		"no redirect":             {app, "", ""},
	} {
		d := newDouble(t)
		if c.doc != "" {
			d.documents[c.id] = c.doc
		}
		q := request()
		q.ClientID, q.Redirect = c.id, c.redirect
		if consent, err := d.server.Ask(t.Context(), q, "b"); !errors.Is(err, oauth.ErrClient) {
			t.Errorf("%s: %+v %v", name, consent, err)
		}
	}
}

func TestClientsThatCanBeBelieved(t *testing.T) {
	const actor = "https://bonfire.example/actors/client"
	for name, c := range map[string]struct{ id, doc, redirect string }{
		"loopback, any port": {app, "", "http://127.0.0.1:51234/cb"},
		"private scheme":     {app, "", "com.example.app:/cb"},
		"FEP-d8c2":           {actor, `{"@context":[],"type":"Application","id":"` + actor + `","name":"B","redirectURI":"https://bonfire.example/cb"}`, "https://bonfire.example/cb"},
		"FEP-d8c2, a list":   {actor, `{"id":"` + actor + `","redirectURI":["https://bonfire.example/a","https://bonfire.example/cb"]}`, "https://bonfire.example/cb"},
	} {
		d := newDouble(t)
		if c.doc != "" {
			d.documents[c.id] = c.doc
		}
		q := request()
		q.ClientID, q.Redirect = c.id, c.redirect
		if _, err := d.server.Ask(t.Context(), q, "b"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheClientIsToldWhatIsWrong(t *testing.T) {
	for want, change := range map[string]func(*oauth.Request){
		"unsupported_response_type": func(q *oauth.Request) { q.ResponseType = "token" },
		"invalid_request":           func(q *oauth.Request) { q.Method = "plain" },
		"invalid_request ":          func(q *oauth.Request) { q.Challenge = "" },
		"invalid_request  ":         func(q *oauth.Request) { q.Challenge = "short" },
		"invalid_request   ":        func(q *oauth.Request) { q.Method = "" },
		"invalid_scope":             func(q *oauth.Request) { q.Scope = "admin:write" },
	} {
		q := request()
		change(&q)
		_, err := newDouble(t).server.Ask(t.Context(), q, "b")
		back, ok := errors.AsType[*oauth.Returned](err)
		if !ok || parse(t, back.Location).Get("error") != strings.TrimSpace(want) || parse(t, back.Location).Get("state") != "client's" {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// The state is bound to the browser, the stage and the time, and finishes once.
func TestSignInsOfOthersGoNowhere(t *testing.T) {
	d := newDouble(t)
	state, ticket := d.state(t, request(), "victim"), d.ticket(t, request(), "victim")
	finish := func(state, code, browser string) error {
		_, err := d.server.Finish(t.Context(), oauth.Return{State: state, Code: code}, browser)
		return err
	}
	allow := func(ticket, browser string) error {
		_, err := d.server.Allow(t.Context(), ticket, browser)
		return err
	}
	for name, err := range map[string]error{
		"a code injected into another browser": finish(state, "of the instance", "attacker"),
		"a browser without cookie":             finish(state, "of the instance", ""),
		"a state of nobody":                    finish("AAAA", "of the instance", "victim"),
		"a ticket instead of a state":          finish(ticket, "of the instance", "victim"),
		"a state instead of a ticket":          allow(state, "victim"),
		"consent from another browser":         allow(ticket, "attacker"),
	} {
		if !errors.Is(err, oauth.ErrBrowser) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := finish(state, "of the instance", "victim"); err != nil {
		t.Fatal(err)
	}
	if err := finish(state, "of the instance", "victim"); !errors.Is(err, oauth.ErrBrowser) {
		t.Errorf("a state finished twice: %v", err)
	}
	d.now = d.now.Add(16 * time.Minute)
	if err := allow(ticket, "victim"); !errors.Is(err, oauth.ErrBrowser) {
		t.Errorf("an old ticket: %v", err)
	}
}

func TestACodeIsForOneClientAndOneMinute(t *testing.T) {
	for name, change := range map[string]func(*double, *oauth.Exchange){
		"another client":   func(_ *double, e *oauth.Exchange) { e.ClientID = "https://evil.example/c" },
		"another redirect": func(_ *double, e *oauth.Exchange) { e.Redirect = "http://127.0.0.1/cb" },
		"another verifier": func(_ *double, e *oauth.Exchange) { e.Verifier = strings.Repeat("x", 43) },
		"a minute later":   func(d *double, _ *oauth.Exchange) { d.now = d.now.Add(time.Minute) },
		"another code":     func(_ *double, e *oauth.Exchange) { e.Code += "x" },
	} {
		d := newDouble(t)
		code := d.code(t, request())
		e := exchange(code)
		change(d, &e)
		_, err := d.server.Exchange(t.Context(), e)
		wantRefusal(t, err, "invalid_grant")
		if name == "another verifier" { // and the code is spent
			_, err := d.server.Exchange(t.Context(), exchange(code))
			wantRefusal(t, err, "invalid_grant")
		}
		if len(d.devices) != 0 {
			t.Errorf("%s: a device signed in", name)
		}
	}
}

func TestACodeShownTwiceTakesBackWhatItBought(t *testing.T) {
	d := newDouble(t)
	code := d.code(t, request())
	tokens, err := d.server.Exchange(t.Context(), exchange(code))
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.server.Exchange(t.Context(), exchange(code))
	wantRefusal(t, err, "invalid_grant")
	if _, err := d.server.Caller(t.Context(), tokens.Access); !errors.Is(err, mastodon.ErrToken) {
		t.Errorf("the token lives: %v", err)
	}
}

func TestRefreshRotatesAndKnowsAThief(t *testing.T) {
	d := newDouble(t)
	first := d.signIn(t)
	second, err := d.server.Refresh(t.Context(), first.Refresh, app, "")
	if err != nil || second.Refresh == first.Refresh {
		t.Fatal(second, err)
	}
	if _, err := d.server.Caller(t.Context(), first.Access); err != nil {
		t.Errorf("a stream's token ended at once: %v", err)
	}
	d.now = d.now.Add(5 * time.Minute)
	if _, err := d.server.Caller(t.Context(), first.Access); !errors.Is(err, mastodon.ErrToken) {
		t.Errorf("the former token lives on: %v", err)
	}
	_, err = d.server.Refresh(t.Context(), second.Refresh, "https://evil.example/c", "")
	wantRefusal(t, err, "invalid_grant")
	_, err = d.server.Refresh(t.Context(), first.Refresh, app, "")
	wantRefusal(t, err, "invalid_grant")
	for _, token := range []string{first.Access, second.Access} {
		if _, err := d.server.Caller(t.Context(), token); !errors.Is(err, mastodon.ErrToken) {
			t.Errorf("a token lives after its refresh token was stolen: %v", err)
		}
	}
	_, err = d.server.Refresh(t.Context(), second.Refresh, app, "")
	wantRefusal(t, err, "invalid_grant")
}

func TestTokensEnd(t *testing.T) {
	d := newDouble(t)
	tokens := d.signIn(t)
	d.now = d.now.Add(24 * time.Hour)
	if _, err := d.server.Caller(t.Context(), tokens.Access); !errors.Is(err, mastodon.ErrToken) {
		t.Errorf("after a day: %v", err)
	}
	if _, err := d.server.Caller(t.Context(), tokens.Refresh); !errors.Is(err, mastodon.ErrToken) {
		t.Errorf("a refresh token opened a mailbox: %v", err)
	}
	d.now = d.now.Add(90 * 24 * time.Hour)
	_, err := d.server.Refresh(t.Context(), tokens.Refresh, app, "")
	wantRefusal(t, err, "invalid_grant")
}

func TestOneDeviceIsRevokedAndNotTheOther(t *testing.T) {
	d := newDouble(t)
	phone, laptop := d.signIn(t), d.signIn(t)
	wantRefusal(t, d.server.Revoke(t.Context(), phone.Access, "https://evil.example/c"), "unauthorized_client")
	if err := d.server.Revoke(t.Context(), phone.Refresh, app); err != nil {
		t.Fatal(err)
	}
	if _, err := d.server.Caller(t.Context(), phone.Access); !errors.Is(err, mastodon.ErrToken) {
		t.Errorf("the phone: %v", err)
	}
	if _, err := d.server.Caller(t.Context(), laptop.Access); err != nil || len(d.ended) != 0 {
		t.Errorf("the laptop: %v, ended %q", err, d.ended)
	}
	list, err := d.server.Devices(t.Context(), "#alice")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if err := d.server.SignOut(t.Context(), "#bob", list[0].ID); !errors.Is(err, oauth.ErrNone) {
		t.Errorf("bob signed alice out: %v", err)
	}
	if err := d.server.SignOut(t.Context(), "#alice", list[0].ID); err != nil || len(d.ended) != 1 {
		t.Errorf("%v, ended %q: the last device ends the instance's token", err, d.ended)
	}
	if err := d.server.Revoke(t.Context(), "sga_nothing", ""); err != nil {
		t.Errorf("a token that is none: %v", err)
	}
}

func TestWhomTheInstanceForgetsIsOut(t *testing.T) {
	d := newDouble(t)
	tokens := d.signIn(t)
	d.away = true
	if _, err := d.server.Caller(t.Context(), tokens.Access); !errors.Is(err, mastodon.ErrUnavailable) {
		t.Errorf("while the instance is away: %v", err)
	}
	d.away, d.gone["login of alice"] = false, true
	if _, err := d.server.Caller(t.Context(), tokens.Access); !errors.Is(err, mastodon.ErrToken) {
		t.Errorf("after the instance's token ended: %v", err)
	}
	d.gone["login of alice"] = false // signing in elsewhere does not bring the lost phone back
	if _, err := d.server.Caller(t.Context(), tokens.Access); !errors.Is(err, mastodon.ErrToken) {
		t.Errorf("the lost phone is back: %v", err)
	}
}

func TestClientDocumentsAreFetchedOnceInFiveMinutes(t *testing.T) {
	d := newDouble(t)
	for range 10 {
		d.ticket(t, request(), "b")
	}
	if d.fetched != 1 {
		t.Errorf("fetched %d times", d.fetched)
	}
	d.now = d.now.Add(5 * time.Minute)
	if d.ticket(t, request(), "b"); d.fetched != 2 {
		t.Errorf("fetched %d times", d.fetched)
	}
}
