package peers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// keyFile lets the gateway sign as a person of the instance, with the key that
// snac made for them.
func (s *snac) keyFile(t *testing.T, directory, name string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.data, "user", name, "key.json"))
	if err != nil {
		t.Fatal(err)
	}
	var key struct{ Secret string }
	decode(t, b, &key)
	if err := os.WriteFile(filepath.Join(directory, name+".pem"), []byte(key.Secret), 0o600); err != nil {
		t.Fatal(err)
	}
}

// post has a person's client post a PrivateMessage, and returns the activity.
func (w *world) post(t *testing.T, name string, to ...string) (id string) {
	t.Helper()
	list, err := json.Marshal(to)
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, http.MethodPost, w.actor(name)+"/outbox", strings.NewReader(fmt.Sprintf(
		`{"type":"PrivateMessage","mediaType":"message/mls","encoding":"base64","content":%q,"to":%s}`, sealed(t), list)))
	r.Header.Set("Content-Type", "application/activity+json")
	answer := do(t, r, w.snac.token(t, w.base, name))
	if answer.status != http.StatusCreated {
		t.Fatalf("%s's outbox: %d %s", name, answer.status, answer.body)
	}
	return answer.header.Get("Location")
}

// sends: Fedify, activitypub-bot and another snac take what bob writes and verify his
// signature with their own code.
func (w *world) sends(t *testing.T) {
	other := startSnac(t, "", "remote")
	remote := "http://" + other.address + "/remote"
	w.post(t, "bob", w.alice.Actor, w.robot.Actor, remote)
	eventually(t, "Fedify to have it", func() bool {
		var got []struct{ Actor, Content string }
		w.fedify.call(t, "received", nil, &got)
		return slices.ContainsFunc(got, func(m struct{ Actor, Content string }) bool {
			return m.Actor == w.actor("bob") && m.Content == sealed(t)
		})
	})
	eventually(t, "the bot to take it", func() bool {
		var answered []int
		w.bot.call(t, "answered", nil, &answered)
		return slices.ContainsFunc(answered, func(status int) bool { return status/100 == 2 })
	})
	eventually(t, "snac to have verified it", func() bool {
		return strings.Contains(other.log.String(), "ignored 'Create' for object type")
	})
	if strings.Contains(other.log.String(), "bad signature") {
		t.Error("snac does not believe the signature")
	}
	// What they believe is not just anything.
	for _, inbox := range []string{w.alice.Inbox, w.robot.Actor + "/inbox"} {
		r := request(t, http.MethodPost, inbox, strings.NewReader(create(t, w.actor("bob")+"/made-up", w.actor("bob"), w.alice.Actor)))
		r.Header.Set("Content-Type", "application/activity+json")
		if answer := do(t, r, ""); answer.status/100 == 2 {
			t.Errorf("%s answers %d to an unsigned activity", inbox, answer.status)
		}
	}
}

// verifiable: libraries that know nothing of the gateway verify both schemes of what
// leaves it. The second scheme is what it knocks with after a 401.
func (w *world) verifiable(t *testing.T) {
	var vera struct{ Actor string }
	peer := startPeer(t, &vera, "verifiers.mjs")
	for _, want := range []struct {
		only   string
		knocks []string
		judges int // of the last
	}{
		{"cavage", []string{"cavage"}, 3},
		{"rfc9421", []string{"cavage", "rfc9421"}, 1},
	} {
		peer.call(t, "want", args{"scheme": want.only}, nil)
		id := w.post(t, "bob", vera.Actor)
		var knocks []knock
		eventually(t, want.only, func() bool {
			var all []knock
			peer.call(t, "received", nil, &all)
			knocks = slices.DeleteFunc(all, func(k knock) bool { return !strings.Contains(k.Body, id) })
			return len(knocks) == len(want.knocks)
		})
		for i, k := range knocks {
			if k.Scheme != want.knocks[i] || !k.Digest || k.Key != w.actor("bob")+"#main-key" {
				t.Errorf("%s: knock %d: %+v", want.only, i+1, k)
			}
			for name, verified := range k.Verdicts {
				if !verified {
					t.Errorf("%s does not verify %s", name, k.Scheme)
				}
			}
		}
		if n := len(knocks[len(knocks)-1].Verdicts); n != want.judges {
			t.Errorf("%s: %d libraries judged", want.only, n)
		}
	}
}

// knock is one POST with what the libraries say of it.
type knock struct {
	Scheme, Key, Body string
	Digest            bool
	Verdicts          map[string]bool
}
