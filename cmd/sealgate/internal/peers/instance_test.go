package peers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// instance: actor, WebFinger, OAuth, posting and the timeline, all through the gateway.
func (w *world) instance(t *testing.T) {
	direct := "http://" + w.snac.address

	webfinger := "/.well-known/webfinger?resource=acct:bob@" + w.domain
	through, straight := get(t, w.base+webfinger, ""), get(t, direct+webfinger, "")
	if through.status != http.StatusOK || !bytes.Equal(through.body, straight.body) {
		t.Errorf("WebFinger through the gateway: %d %s, want %s", through.status, through.body, straight.body)
	}

	w.actorDocument(t, direct)

	token := w.snac.token(t, w.base, "bob")
	me := get(t, w.base+"/api/v1/accounts/verify_credentials", token)
	if me.status != http.StatusOK || !bytes.Contains(me.body, []byte(`"username": "bob"`)) {
		t.Errorf("verify_credentials: %d %s", me.status, me.body)
	}
	posted := postForm(t, w.base+"/api/v1/statuses", token, url.Values{"status": {"hello from behind the gateway"}})
	if posted.status != http.StatusOK {
		t.Fatalf("post a status: %d %s", posted.status, posted.body)
	}
	if home := timeline(t, w.base, token); !has(home, "hello from behind the gateway") {
		t.Errorf("the home timeline has %q", home)
	}
}

// actorDocument must be snac's own with three additions, and Fedify must still understand it.
func (w *world) actorDocument(t *testing.T, direct string) {
	t.Helper()
	before, after := properties(t, getActor(t, direct+"/bob")), properties(t, getActor(t, w.actor("bob")))
	for _, added := range []string{"keyPackages", "messages"} {
		want := w.base + "/e2ee/users/bob/" + added
		if after[added] != want {
			t.Errorf("%s is %v, want %s", added, after[added], want)
		}
	}
	for name, value := range before {
		if name != "@context" && name != "endpoints" && !reflect.DeepEqual(after[name], value) {
			t.Errorf("%s changed from %v to %v", name, value, after[name])
		}
	}
	// Node, and every proxy that speaks HTTP/2 in front, sends names in lower case.
	lower := request(t, http.MethodGet, w.actor("bob"), nil)
	lower.Header["accept"] = []string{"application/activity+json"}
	if document := properties(t, do(t, lower, "")); !reflect.DeepEqual(document, after) {
		t.Errorf("asked with a lower-case accept, the document is %v, want %v", document, after)
	}
	var found struct {
		ID, Inbox string
		Keys      []string
	}
	w.fedify.call(t, "lookup", args{"actor": w.actor("bob")}, &found)
	if found.ID != w.actor("bob") || found.Inbox != w.actor("bob")+"/inbox" || !slices.Equal(found.Keys, []string{w.actor("bob") + "#main-key"}) {
		t.Errorf("fedify reads the actor as %+v", found)
	}
}

func properties(t *testing.T, document reply) map[string]any {
	t.Helper()
	if document.status != http.StatusOK {
		t.Fatalf("actor document: %d %s", document.status, document.body)
	}
	var p map[string]any
	if err := json.Unmarshal(document.body, &p); err != nil {
		t.Fatalf("actor document %s: %v", document.body, err)
	}
	return p
}

// note: an ordinary mention from Fedify reaches the instance, whose verdict on
// the signature needs every byte as it came; and the other way round.
func (w *world) note(t *testing.T) {
	token := w.snac.token(t, w.base, "bob")
	w.snac.run(t, "", "follow", w.snac.data, "bob", w.alice.Actor) // else her notes are not for his home
	const words = "an ordinary note for bob"
	w.fedify.call(t, "note", args{"to": w.actor("bob"), "name": "@bob@" + w.domain, "content": words}, nil)
	var note status
	eventually(t, "the note to be a notification", func() (ok bool) {
		note, ok = with(mentions(t, w.base, token), words)
		return ok
	})
	eventually(t, "the note to be in the timeline", func() bool { return has(timeline(t, w.base, token), words) })
	if !strings.Contains(w.tap.sent.String(), words) {
		t.Error("the tap did not see the note pass: it cannot prove what does not")
	}
	w.answer(t, token, note)
}

// answer: what bob signs is accepted by Fedify, which reads his key from the
// actor document as the gateway serves it.
func (w *world) answer(t *testing.T, token string, note status) {
	t.Helper()
	const words = "bob answers alice"
	posted := postForm(t, w.base+"/api/v1/statuses", token, url.Values{"status": {words}, "in_reply_to_id": {note.ID}})
	if posted.status != http.StatusOK {
		t.Fatalf("answer the note: %d %s", posted.status, posted.body)
	}
	type received struct{ Actor, Content string }
	eventually(t, "fedify to accept what bob signed", func() bool {
		var all []received
		w.fedify.call(t, "received", nil, &all)
		return slices.ContainsFunc(all, func(r received) bool {
			return r.Actor == w.actor("bob") && strings.Contains(r.Content, words)
		})
	})
}

// staleness: snac closes every connection right after its answer and does not
// announce it. A gateway that reuses one must not show that to anybody.
func (w *world) staleness(t *testing.T) {
	g := startGateway(t, w.binary, freeAddress(t), w.snac.address) // no tap between
	pauses := []time.Duration{0, 0, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond}
	bad := map[string]int{}
	for i := range 240 {
		var answer reply
		if i%4 == 3 {
			answer = postForm(t, g.base+"/oauth/token", "", url.Values{"grant_type": {"none"}})
		} else {
			answer = get(t, fmt.Sprintf("%s/.well-known/webfinger?resource=acct:bob@%s&n=%d", g.base, w.domain, i), "")
		}
		if answer.status >= http.StatusInternalServerError || (i%4 != 3 && answer.status != http.StatusOK) {
			bad[fmt.Sprint(answer.status)]++
		}
		<-time.After(pauses[i%len(pauses)])
	}
	if len(bad) > 0 {
		t.Errorf("of 240 requests, answers by status that the instance did not give: %v", bad)
	}
}

func has(posts []status, words string) bool {
	_, ok := with(posts, words)
	return ok
}
