package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy/signature"
	"github.com/sealgate/sealgate/relay/admin"
)

// farther is somebody on a server of their own, at another address of this machine.
type farther struct {
	actor string
	host  string // with its port
	key   ed25519.PrivateKey
	sent  int
}

// newFarther serves the actor document of somebody at an address like 127.0.0.2.
func newFarther(t *testing.T, address, name string) *farther {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	f := &farther{host: l.Addr().String(), key: ed25519.NewKeyFromSeed([]byte(strings.Repeat(name[:1], ed25519.SeedSize)))}
	f.actor = "http://" + f.host + "/users/" + name
	der, err := x509.MarshalPKIXPublicKey(f.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(map[string]any{
		"@context": "https://www.w3.org/ns/activitystreams", "id": f.actor, "type": "Person", "preferredUsername": name, "inbox": f.actor + "/inbox",
		"publicKey": map[string]any{"id": f.actor + "#main-key", "owner": f.actor, "publicKeyPem": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/activity+json")
		_, _ = w.Write(document)
	})}}
	server.Start()
	t.Cleanup(server.Close)
	return f
}

// post delivers one MLS object to bob, signed.
func (f *farther) post(t *testing.T, s *served, kind string, content []byte) (status int, answer string) {
	t.Helper()
	f.sent++
	body := fmt.Appendf(nil, `{"id":"%s/a/%d","type":"Create","actor":%q,"to":[%q],"object":{"type":%q,"attributedTo":%q,"mediaType":"message/mls","encoding":"base64","content":%q}}`,
		f.actor, f.sent, f.actor, s.bob.Actor, kind, f.actor, base64.StdEncoding.EncodeToString(content))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.bob.Inbox(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/activity+json")
	if err := signature.SignHTTP(req, body, signature.Signer{KeyID: f.actor + "#main-key", Key: f.key}, time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, answer := exchange(t, req) //nolint:bodyclose // exchange closes it
	return resp.StatusCode, answer
}

func (f *farther) invite(t *testing.T, s *served) (int, string) {
	t.Helper()
	return f.post(t, s, "Welcome", inboxtest.Welcome(make([]byte, 32)))
}

// speak sends a commit of a group.
func (f *farther) speak(t *testing.T, s *served, group string, epoch uint64) (int, string) {
	t.Helper()
	return f.post(t, s, "PrivateMessage", inboxtest.Private(inboxtest.Commit, group, epoch, "c"))
}

const refusesBlocked = `version: 1
inherit: {domain_blocks: true, user_blocks: true, notification_policy: true}
rules:
  - {name: blocked-contact, at: contact, when: 'rel == "blocked"', then: refuse}
  - {name: strangers-wait, at: contact, when: 'msg.kind == "welcome" && rel in ["stranger", "limited"]', then: hold}
  - {name: blocked-member, at: group, when: 'rel == "blocked"', then: hide}
`

// ruledBy gives the gateway another policy and starts it anew.
func (s *served) ruledBy(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.data, "own.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(s.file)
	if err == nil {
		err = os.WriteFile(s.file, bytes.Replace(config, []byte("policy: {preset: open}"), []byte("policy: {file: ./own.yaml}"), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.restart(t)
}

// restart has it ask the instance anew: what it knows holds for fifteen minutes.
func (s *served) restart(t *testing.T) {
	t.Helper()
	s.end(t)
	s.again(t)
	if status, body := s.get(t, "/e2ee/requests", s.sample.Token(s.bob, "read", "write")); status != 200 { // bob connects
		t.Fatal(status, body)
	}
}

// requests are bob's, as the operator's command lists them.
func (s *served) requests(t *testing.T) (list admin.RequestList) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.want(t, 0, nil, "requests", "list", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestBlocksChangeTheAnswer: what the instance's moderators and bob himself block at the instance decides, on the
// wire, what their senders are told, and labels those whom he has in a group. On the way the operator accepts,
// drops and severs over the live socket.
func TestBlocksChangeTheAnswer(t *testing.T) {
	s := serveHere(t)
	s.ruledBy(t, refusesBlocked)
	zoe, trudy, mia := newFarther(t, "127.0.0.2", "zoe"), newFarther(t, "127.0.0.3", "trudy"), newFarther(t, "127.0.0.4", "mia")
	known := map[*farther]*instance.Remote{}
	for f, name := range map[*farther]string{trudy: "trudy", mia: "mia"} {
		known[f] = s.sample.AddRemote(instance.Remote{Name: name, Host: f.host, Actor: f.actor})
	}
	accepted := func(f *farther, status int, answer string) {
		t.Helper()
		if status != http.StatusAccepted {
			t.Fatalf("%s: %d %s", f.actor, status, answer)
		}
	}
	for _, f := range []*farther{zoe, trudy, mia} {
		status, answer := f.invite(t, s)
		accepted(f, status, answer)
	}
	status, answer := mia.speak(t, s, "mia's", 1)
	accepted(mia, status, answer)
	list := s.requests(t)
	if len(list.Requests) != 3 {
		t.Fatalf("%+v", list)
	}
	for _, r := range list.Requests {
		action := map[string]string{zoe.actor: "drop", mia.actor: "accept"}[r.Actor]
		if action != "" {
			s.want(t, 0, []string{r.ID + ": " + action}, "requests", action, r.ID, "--person", "bob")
		}
	}
	if left := s.requests(t).Requests; len(left) != 1 || left[0].Actor != trudy.actor {
		t.Errorf("%+v", left)
	}
	status, answer = mia.speak(t, s, "mia's", 2)
	accepted(mia, status, answer)
	token := s.sample.Token(s.bob, "read", "write")
	if _, page := s.get(t, "/e2ee/users/bob/messages?page=1", token); strings.Contains(page, "hidden") || strings.Count(page, `"PrivateMessage"`) != 2 {
		t.Errorf("mia is in the group: %s", page)
	}

	s.sample.Moderate(instance.Moderation{Blocks: []instance.DomainBlock{{Domain: zoe.host, Severity: "suspend"}}})
	s.sample.Relate(s.bob, known[trudy], instance.Tie{Blocking: true})
	s.sample.Relate(s.bob, known[mia], instance.Tie{Blocking: true})
	s.restart(t)
	refused := func(f *farther) bool {
		t.Helper()
		status, answer := f.invite(t, s)
		return status == http.StatusForbidden && strings.Contains(answer, `"rule":"blocked-contact"`)
	}
	s.until(t, "the server that the instance suspends is refused", func() bool { return refused(zoe) })
	if !refused(trudy) {
		t.Error("whom bob blocks is not refused")
	}
	status, answer = mia.speak(t, s, "mia's", 3)
	accepted(mia, status, answer) // no commit is lost
	if _, page := s.get(t, "/e2ee/users/bob/messages?page=1", token); strings.Count(page, `"PrivateMessage"`) != 3 || !strings.Contains(page, `"hidden":["`+mia.actor+`/a/4"]`) {
		t.Errorf("mia is blocked: %s", page)
	}

	s.want(t, 0, []string{"preview", "bob: shares 1 groups"}, "requests", "sever", mia.actor)
	s.want(t, 0, []string{"is severed for everybody"}, "requests", "sever", mia.actor, "--yes")
	status, answer = mia.speak(t, s, "mia's", 4)
	accepted(mia, status, answer)
	if _, page := s.get(t, "/e2ee/users/bob/messages?page=1", token); strings.Count(page, `"PrivateMessage"`) != 3 {
		t.Errorf("mia is severed: %s", page)
	}
	s.want(t, 0, []string{"no longer severed"}, "requests", "sever", mia.actor, "--undo")
	s.want(t, 0, []string{"severed: " + mia.actor + ", for everybody", "no longer severed: " + mia.actor}, "policy", "history")
}

// until asks until check is content.
func (s *served) until(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !check() {
		select {
		case <-deadline:
			t.Fatalf("in 20 s it did not come true: %s", what)
		case <-tick.C:
		}
	}
}
