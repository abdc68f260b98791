package relay_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestOwnInboxShowsMessages(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	fill(t, w.store, 1, 2)
	for _, c := range []struct {
		path, authorization string
		ours                bool
	}{
		{"/users/alice/inbox", "Bearer of-alice", true},
		{"/users/ALICE/inbox?page=1", "Bearer of-alice", true},
		{"/users/alice/inbox", "Bearer of-bob", false},
		{"/users/alice/inbox", "Bearer nonsense", false},
		{"/users/alice/inbox", "Bearer narrow", false},
		{"/users/alice/inbox", "", false},
		{"/users/carol/inbox", "Bearer of-alice", false},
	} {
		got := w.ask(t, http.MethodGet, c.path, nil, "Authorization", c.authorization)
		if ours := strings.Contains(got.body, mailboxURL); ours != c.ours {
			t.Errorf("%s with %q: %+v", c.path, c.authorization, got)
		}
	}
}

// TestTokensAreForgotten: what the instance has revoked or refused in passing is
// asked about again at once.
func TestTokensAreForgotten(t *testing.T) {
	for what, pass := range map[string]func(*world){
		"revoked by form": func(w *world) {
			w.ask(t, http.MethodPost, "/oauth/revoke", strings.NewReader("client_id=x&token=of%2Dalice"), "Content-Type", "application/x-www-form-urlencoded")
		},
		"revoked by JSON": func(w *world) {
			w.ask(t, http.MethodPost, "/oauth/revoke", strings.NewReader(`{"token":"of-alice"}`), "Content-Type", "application/json")
		},
		"refused": func(w *world) {
			w.ask(t, http.MethodGet, "/api/v1/refuses", nil, "Authorization", "Bearer of-alice")
		},
	} {
		w := newWorld(t, memory(), gate{})
		w.read(t, mailboxURL)
		w.upstream.away()
		w.read(t, mailboxURL)
		pass(w)
		got := w.ask(t, http.MethodGet, "/e2ee/users/alice/messages", nil, "Authorization", "Bearer of-alice")
		if got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: %+v, want 503: nothing is remembered and nobody can be asked", what, got)
		}
		if posts := w.upstream.posts(); len(posts) == 1 && !strings.Contains(posts[0].body, "alice") {
			t.Errorf("%s: the instance got %+v", what, posts)
		}
	}
}

func TestRevocationsPassWhateverTheyAre(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	for _, body := range []string{"", "token", strings.Repeat("x", 100_000)} {
		got := w.ask(t, http.MethodPost, "/oauth/revoke", strings.NewReader(body))
		posts := w.upstream.posts()
		if got.header.Get("X-Upstream") != "yes" || posts[len(posts)-1].body != body {
			t.Errorf("%.20q: %+v", body, got)
		}
	}
	w.ask(t, http.MethodPost, "/oauth/revoke", chunks{strings.NewReader("token=of-alice")})
	posts := w.upstream.posts()
	if posts[len(posts)-1].body != "token=of-alice" {
		t.Errorf("chunked: %+v", posts)
	}
}
