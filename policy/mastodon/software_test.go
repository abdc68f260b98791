package mastodon_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/sealgate/sealgate/policy/mastodon"
)

// newSmall is an instance as snac and GoToSocial are from here: WebFinger and an
// actor document, no lookup, accounts without uri, tokens without scopes.
func newSmall(t *testing.T, software string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/nodeinfo", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"links":[{"rel":"http://nodeinfo.diaspora.software/ns/schema/2.0","href":"https://social.example/nodeinfo_2_0"}]}`)
	})
	mux.HandleFunc("GET /nodeinfo_2_0", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"version":"2.0","software":{"name":%q}}`, software)
	})
	mux.HandleFunc("GET /.well-known/webfinger", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("resource") != "acct:bob@social.example" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `{"subject":"acct:bob@social.example","links":[{"rel":"self","type":"application/activity+json","href":"https://social.example/bob"}]}`)
	})
	mux.HandleFunc("GET /bob", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":"https://social.example/bob","preferredUsername":"bob","inbox":"https://social.example/bob/inbox"}`)
	})
	mux.HandleFunc("GET /about", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>`) })
	mux.HandleFunc("GET /api/v1/accounts/verify_credentials", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			w.WriteHeader(http.StatusUnprocessableEntity) // as snac does
			return
		}
		fmt.Fprint(w, `{"id":"3f1c","username":"bob","acct":"bob","url":"https://social.example/bob"}`)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func TestSoftwareIsDetected(t *testing.T) {
	for software, mayWrite := range map[string]bool{"snac": true, "gotosocial": true} {
		i, _, _ := newInstance(t, newSmall(t, software), "auto")
		want := mastodon.Person{
			Account: "bob", Name: "bob", Actor: "https://social.example/bob",
			Inbox: "https://social.example/bob/inbox", Outbox: "https://social.example/bob/outbox",
		}
		for _, id := range []string{"bob", "Bob", "https://social.example/bob", "https://social.example/users/bob"} {
			if got, err := i.Person(t.Context(), id); err != nil || got != want {
				t.Errorf("%s: Person(%q) = %+v, %v", software, id, got, err)
			}
		}
		c, err := i.Caller(t.Context(), "good")
		if err != nil || c.Person != want || (c.MayWrite() == nil) != mayWrite {
			t.Errorf("%s: Caller = %+v, %v, may write: %v", software, c, err, c.MayWrite())
		}
		if _, err := i.Caller(t.Context(), "bad"); !errors.Is(err, mastodon.ErrToken) {
			t.Errorf("%s: a bad token: %v", software, err)
		}
		for _, id := range []string{"carol", "https://social.example/about", "https://social.example/nothing"} {
			if _, err := i.Person(t.Context(), id); !errors.Is(err, mastodon.ErrNoPerson) {
				t.Errorf("%s: Person(%q): %v, want ErrNoPerson", software, id, err)
			}
		}
	}
}

func TestUnknownSoftwareIsHeldToMastodonsRules(t *testing.T) {
	i, _, _ := newInstance(t, newSmall(t, "novelty"), "auto")
	if _, err := i.Person(t.Context(), "bob"); !errors.Is(err, mastodon.ErrNoPerson) {
		t.Errorf("%v, want ErrNoPerson: Mastodon's lookup knows no bob", err)
	}
}
