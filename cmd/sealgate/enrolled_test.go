package main

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox/inboxtest"
)

// TestMailIsForWhoHasAClient: bob gets mail from the moment when he has published a key package, or has signed in, and
// also after restarts; before that only the operator's test message.
func TestMailIsForWhoHasAClient(t *testing.T) {
	t.Setenv("SEALGATE_MAILBOX_UNENROLLED", "drop")
	for name, enrol := range map[string]func(*testing.T, *served){
		"publishes": func(t *testing.T, s *served) {
			t.Helper()
			body := fmt.Sprintf(`{"@context":"https://www.w3.org/ns/activitystreams","type":"Create","actor":%[1]q,"to":"as:Public","object":`+
				`{"type":"KeyPackage","to":"as:Public","attributedTo":%[1]q,"mediaType":"message/mls","encoding":"base64","content":%[2]q}}`,
				s.bob.Actor, base64.StdEncoding.EncodeToString(inboxtest.NewClient(s.bob.Actor, time.Now()).Package()))
			if status, _, answer := s.postAs(t, s.bob, s.sample.Token(s.bob, "read", "write"), body); status != 201 {
				t.Fatalf("publish: %d %s", status, answer)
			}
		},
		"signs in": func(t *testing.T, s *served) {
			t.Helper()
			s.signIn(t, newClient(t), "/e2ee/oauth/authorize", "/e2ee/oauth/token")
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, zoe := serveHere(t), newFarther(t, "127.0.0.2", "zoe")
			has := func(messages int) {
				t.Helper()
				_, page := s.get(t, "/e2ee/users/bob/messages?page=1", s.sample.Token(s.bob, "read", "write"))
				if n := strings.Count(page, zoe.actor+"/a/"); n < messages || messages == 0 && n > 0 {
					t.Errorf("bob has %d of zoe's, want %d: %s", n, messages, page)
				}
			}
			speak := func(epoch uint64) {
				t.Helper()
				if status, answer := zoe.speak(t, s, "zoe's", epoch); status != 202 {
					t.Fatalf("%d %s", status, answer)
				}
			}
			speak(1)
			if code, out, errs := s.command(t, "check", "--send", "bob"); code != 0 {
				t.Errorf("check --send bob: %d\n%s%s", code, out, errs)
			}
			has(0)
			enrol(t, s)
			speak(2)
			has(1)
			s.end(t)
			s.again(t)
			speak(3)
			has(2)
		})
	}
}
