package relay_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestHeaderNamesInAnyCase: Node and everything that came over HTTP/2 spells names in lower case.
func TestHeaderNamesInAnyCase(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	for _, spell := range []func(string) string{strings.ToLower, strings.ToUpper} {
		authorization, accept, coding := spell("Authorization"), spell("Accept"), spell("Content-Encoding")
		got := w.ask(t, http.MethodGet, "/e2ee/users/alice/messages", nil, authorization, "Bearer of-alice")
		if got.status != http.StatusOK {
			t.Errorf("%s: %d, want 200", authorization, got.status)
		}
		got = w.ask(t, http.MethodGet, "/users/alice", nil, accept, "application/activity+json")
		if !strings.Contains(got.body, `"messages"`) {
			t.Errorf("%s: the actor document was not edited", accept)
		}
		got = w.ask(t, http.MethodPost, "/inbox", strings.NewReader(create("1", alice)), coding, "gzip")
		if got.status != http.StatusUnsupportedMediaType {
			t.Errorf("%s: %d, want 415", coding, got.status)
		}
	}
}
