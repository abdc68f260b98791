package relay_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestOursGoesOnWhileTheInstanceIsDead: nobody listens where the instance was. Ordinary requests are 502 with
// Retry-After; MLS for people who are known is kept, and its owner reads it.
func TestOursGoesOnWhileTheInstanceIsDead(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	w.deliver(t, "/inbox", create("1", alice))
	w.read(t, mailboxURL)
	w.upstream.Close()
	for _, c := range []struct{ method, target string }{{http.MethodGet, "/about"}, {http.MethodPost, "/inbox"}, {http.MethodGet, "/users/alice"}} {
		got := w.ask(t, c.method, c.target, strings.NewReader(""), "Accept", "application/activity+json")
		if got.status != http.StatusBadGateway || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: %+v, want 502 with Retry-After", c.target, got)
		}
	}
	for i, id := range []string{"2", "3"} {
		if got := w.deliver(t, "/users/alice/inbox", create(id, alice)); got.status != http.StatusAccepted {
			t.Errorf("%+v, want 202", got)
		}
		if c := w.read(t, mailboxURL); *c.TotalItems != i+2 {
			t.Errorf("%d messages are read, want %d", *c.TotalItems, i+2)
		}
	}
}
