package relay_test

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/intake"
)

// TestCrowdedGatewaySaysLater: with the places of contact taken, invitations, key fetches and messages of whose key is not at hand are
// answered 503 with Retry-After, messages of groups are taken; with all taken these, too, and ordinary requests still go on.
func TestCrowdedGatewaySaysLater(t *testing.T) {
	places := intake.NewPlaces(intake.PlacesOptions{Most: 16 << 16})
	g := guardWith(t, preset(t, "open"), places)
	g.joins(t, "g", zoe)
	var leave []func()
	fill := func(at rules.Stage, n int) {
		for range n {
			out, err := places.Enter(at, netip.AddrFrom4([4]byte{10, 0, 0, byte(len(leave))}), 1)
			if err != nil {
				t.Fatal(err)
			}
			leave = append(leave, out)
		}
	}
	fetch := func() answer { return g.ask(t, http.MethodGet, "/e2ee/users/alice/keyPackages", nil) }
	group := func(id string, header ...string) answer { return g.post(t, zoe, id, commit("g", 1), header...) }
	wants := func(when, what string, got answer, status int) {
		t.Helper()
		if got.status != status || status == http.StatusServiceUnavailable && got.header.Get("Retry-After") == "" {
			t.Errorf("%s, %s: %d %s (Retry-After %q), want %d", when, what, got.status, got.body, got.header.Get("Retry-After"), status)
		}
	}
	wants("at rest", "an invitation", g.invite(t, zoe, "w1"), 202)
	wants("at rest", "a key fetch", fetch(), 200)
	fill(rules.Contact, 8)
	wants("half full", "an invitation", g.invite(t, zoe, "w2"), 503)
	wants("half full", "a key fetch", fetch(), 503)
	wants("half full", "of a group", group("c1"), 202)
	looked := group("c2", "X-New", "yes") // at sight a message of a group, which has room
	wants("half full", "of a group, by a new key", looked, 503)
	wants("half full", "her own key fetch", g.ask(t, http.MethodGet, "/e2ee/users/alice/keyPackages", nil, "Authorization", "Bearer of-alice"), 200)
	fill(rules.Group, 8)
	unread := group("c3")
	wants("full", "of a group", unread, 503)
	if unread.body != looked.body || unread.header.Get("Content-Type") != looked.header.Get("Content-Type") {
		t.Errorf("at sight %s, looked at %s", unread.body, looked.body)
	}
	malformed, mention := `{"type":"Create","object":{"mediaType":"message/mls","content":"AAEAAgAAAAA="}`, `{"type":"Note","content":"of message/mls"}`
	wants("full", "what plainly is a message, though it cannot be read", g.ask(t, http.MethodPost, "/inbox", strings.NewReader(malformed)), 503)
	wants("full", "the same in an unusual spelling", g.ask(t, http.MethodPost, "/inbox", strings.NewReader(strings.Replace(malformed, "AAEA", `\u0041AEA`, 1))), 400)
	wants("full", "a note that mentions messages", g.ask(t, http.MethodPost, "/inbox", strings.NewReader(mention)), 202)
	wants("full", "an ordinary post", g.ask(t, http.MethodPost, "/inbox", strings.NewReader(`{"type":"Follow"}`)), 202)
	wants("full", "an ordinary page", g.ask(t, http.MethodGet, "/about", nil), 200)
	for _, out := range leave {
		out()
	}
	wants("again", "of a group", group("c3"), 202)
	wants("again", "an invitation", g.invite(t, zoe, "w2"), 202)
	wants("again", "what cannot be read", g.ask(t, http.MethodPost, "/inbox", strings.NewReader(malformed)), 400)
	if n := len(g.upstream.posts()); n != 2 {
		t.Errorf("the instance got %d posts", n)
	}
}

// TestBodiesAreBounded: slow senders of large bodies hold no more than Options.MaxHeld together; what is over it is told to come
// again, small bodies go on, and there is room when they have gone.
func TestBodiesAreBounded(t *testing.T) {
	w := newWorldWith(t, memory(), gate{}, func(o *relay.Options) { o.MaxHeld = 1 << 20 })
	large := `{"type":"Note","content":"` + strings.Repeat("x", 500_000) + `"}`
	post := func() int { return w.ask(t, http.MethodPost, "/inbox", strings.NewReader(large)).status }
	if got := post(); got != http.StatusAccepted {
		t.Fatalf("at rest: %d", got)
	}
	var slow []io.WriteCloser
	await(t, "503 to one more", func() bool { // one of these may be refused, when it comes to it before the post does
		c := w.dial(t)
		fmt.Fprintf(c, "POST /inbox HTTP/1.1\r\nHost: social.example\r\nContent-Length: %d\r\n\r\n%s", len(large), large[:len(large)-1])
		slow = append(slow, c)
		return post() == http.StatusServiceUnavailable
	})
	for range 100 {
		if got := w.ask(t, http.MethodPost, "/inbox", strings.NewReader(`{"type":"Follow"}`)).status; got != http.StatusAccepted {
			t.Fatalf("a small one: %d", got)
		}
	}
	for _, c := range slow {
		c.Close()
	}
	await(t, "202 when they have gone", func() bool { return post() == http.StatusAccepted })
}

// await asks until it holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-deadline:
			t.Fatal("it never came to: " + what)
		default:
		}
	}
}
