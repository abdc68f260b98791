package outbox_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay/outbox"
)

// TestEach: every recipient elsewhere gets a copy that names them alone, at their own
// inbox, and reads no other under its id; people here and the sender see all.
func TestEach(t *testing.T) {
	w, p := newWorld(t, settings{each: true}), newPeer(t, nil)
	w.run(t)
	zoe, yan, una := p.actor("zoe"), p.actor("yan"), p.actor("una")
	posted := w.post(t, []byte(`{"type":"Create","cc":["`+yan+`","`+w.bob.Actor+`"],"to":"`+zoe+`","audience":{"id":"`+zoe+`"},"bto":"`+una+`",
		"object":{"cc":"`+yan+`","type":["Object","PrivateMessage"],"mediaType":"message/mls","encoding":"base64","content":"`+private("g", 1)+`","to":["`+zoe+`"],"x:odd":1.50}}`))
	got := map[string]string{}
	for _, a := range p.await(t, 3) {
		got[strings.TrimSuffix(p.URL+a.path, "/inbox")] = a.body
	}
	for _, id := range []string{zoe, yan, una} {
		body := got[id]
		for _, other := range []string{zoe, yan, una, w.bob.Actor} {
			if other != id && strings.Contains(body, other) {
				t.Errorf("%s sees %s: %s", id, other, body)
			}
		}
		if strings.Count(body, id) != 2 || !json.Valid([]byte(body)) || !strings.Contains(body, `"x:odd":1.50`) {
			t.Errorf("%s gets %s", id, body)
		}
		name := posted.ID[strings.LastIndex(posted.ID, "/")+1:]
		if read, err := w.Activity(t.Context(), name, outbox.Reader{Actor: id}); err != nil || string(read) != body {
			t.Errorf("%s reads %s, %v", id, read, err)
		}
	}
	kept, err := w.store.After(t.Context(), inbox.Owner(w.bob.Account), 0, 10)
	if err != nil || len(kept) != 1 || string(kept[0].Activity) != string(posted.Body) || !strings.Contains(string(posted.Body), yan) {
		t.Errorf("bob has %v, %v", kept, err)
	}
}

// TestJitter: each delivery waits by itself, in order, also over a restart.
func TestJitter(t *testing.T) {
	const year = 365 * 24 * time.Hour
	w, p := newWorld(t, settings{jitter: year}), newPeer(t, nil)
	stop := w.run(t)
	for n := range uint64(3) {
		w.post(t, message("g", n+1, "", p.actor("zoe")))
	}
	stop()
	w.run(t)
	late := time.Now()
	w.ahead.Add(int64(year))
	w.post(t, message("nudge", 1, "", p.actor("yan"))) // the outbox looks at its clock
	for i, a := range p.await(t, 3) {
		if !strings.Contains(a.body, private("g", uint64(i+1))) || a.at.Before(late) {
			t.Errorf("%d. is %s, at %s", i+1, a.body, a.at)
		}
	}
}
