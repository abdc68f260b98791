package peers_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// client says with which software alice and a local person talk.
type client struct {
	library   string // tsmls or openmls
	owner     string // the local person
	suite     string // empty: the library's default
	handshake string // how it sends commits: private or public
}

// conversation: alice, elsewhere, makes a group, invites the owner by a
// KeyPackage and writes, commits and writes again. Fedify delivers it with
// alternating signatures. The owner's client reads the messages with a token
// of the instance and must see alice's words.
func (w *world) conversation(t *testing.T, c client) {
	var extra []string
	if c.suite != "" {
		extra = []string{c.suite}
	}
	var ready struct{ Actor string }
	theirs := startPeer(t, &ready, "device.mjs", append([]string{c.library, w.alice.Actor}, extra...)...)
	owners := startPeer(t, &ready, "device.mjs", append([]string{c.library, w.actor(c.owner)}, extra...)...)

	var keyPackage struct{ Base64 string }
	owners.call(t, "keyPackage", nil, &keyPackage)
	address := args{"to": w.actor(c.owner), "conversation": w.alice.Actor + "/conversations/" + c.owner}
	meant := func(more args) args {
		maps.Copy(more, address)
		return more
	}
	words := []string{"Grüße an " + c.owner + " 🔐", "after the commit " + strings.Repeat("x", 4000)}
	w.bring(t, theirs, "invite", meant(args{"base64": keyPackage.Base64}), "rfc9421")
	w.bring(t, theirs, "write", meant(args{"text": words[0]}), "cavage")
	w.bring(t, theirs, "rekey", meant(args{"wire": c.handshake}), "rfc9421")
	w.bring(t, theirs, "write", meant(args{"text": words[1]}), "cavage")

	var inbox struct {
		Read []struct{ ID, Kind, Text string }
	}
	owners.call(t, "read", args{"token": w.snac.token(t, w.base, c.owner)}, &inbox)
	var kinds, seen []string
	for _, m := range inbox.Read {
		kinds = append(kinds, m.Kind)
		if m.Kind == "application" {
			seen = append(seen, m.Text)
		}
	}
	if want := []string{"welcome", "application", "handshake", "application"}; !slices.Equal(kinds, want) {
		t.Errorf("the client read %q, want %q", kinds, want)
	}
	if !slices.Equal(seen, words) {
		t.Errorf("the client saw %q, want %q", seen, words)
	}
	if strings.Contains(w.log.String(), words[0]) || strings.Contains(w.tap.sent.String(), words[0]) {
		t.Error("the words are outside the clients")
	}
	w.nothingPassed(t)
}

// bring has the client make an activity and Fedify deliver it to the owner.
func (w *world) bring(t *testing.T, from *peer, command string, a args, scheme string) {
	t.Helper()
	var made struct{ Activity json.RawMessage }
	from.call(t, command, a, &made)
	var d delivered
	to, ok := a["to"].(string)
	if !ok {
		t.Fatalf("%s has no recipient", command)
	}
	w.fedify.call(t, "deliver", args{"inbox": to + "/inbox", "body": string(made.Activity), "scheme": scheme}, &d)
	if d.Status != http.StatusAccepted {
		t.Fatalf("%s: answered %d %s, want 202", command, d.Status, d.Body)
	}
}
