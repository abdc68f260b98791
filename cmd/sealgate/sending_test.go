package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
)

// sendingHere is serveHere for somebody whose key the gateway may use.
func sendingHere(t *testing.T, name string, fetch instance.Fetch) *served {
	t.Helper()
	return sendingBy(t, name, fetch, "{source: file, file: .}")
}

// sendingBy is sendingHere with another source; the key is there as well.
func sendingBy(t *testing.T, name string, fetch instance.Fetch, signing string) *served {
	t.Helper()
	s := newServed(t, name, fetch, "signing: "+signing)
	key := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(s.bob.Key)})
	if err := os.WriteFile(filepath.Join(s.data, name+".pem"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	return s
}

// send posts a bare PrivateMessage to the person's outbox.
func (s *served) send(t *testing.T, epoch uint64, to ...string) (*http.Response, string) {
	t.Helper()
	return s.postOutbox(t, s.sample.Token(s.bob, "read", "write"), fmt.Sprintf(
		`{"type":"PrivateMessage","mediaType":"message/mls","encoding":"base64","content":%q,"to":["%s"],"x:odd": [1.0]}`,
		privateMessage(epoch), strings.Join(to, `","`)))
}

func (s *served) postOutbox(t *testing.T, token, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.bob.Actor+"/outbox", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	return exchange(t, req)
}

// awaitMail waits for an activity, byte for byte, in the person's mailbox.
func (s *served) awaitMail(t *testing.T, activity string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	token := s.sample.Token(s.bob, "read", "write")
	for {
		_, body := s.get(t, "/e2ee/users/"+s.bob.Name+"/messages?after=0", token)
		if strings.Contains(body, activity) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s has not got %s\n%s", s.bob.Name, activity, body)
		case <-tick.C:
		}
	}
}

// TestConversation: two gateways before two instances carry messages both ways,
// signed with the people's own keys, also to an instance that answers nobody
// unsigned.
func TestConversation(t *testing.T) {
	alice, bob := sendingHere(t, "alice", instance.OpenFetch), sendingHere(t, "bob", instance.AuthorizedFetch)
	for epoch := uint64(1); epoch <= 3; epoch++ {
		resp, body := alice.send(t, epoch, bob.bob.Actor, alice.bob.Actor) //nolint:bodyclose // send closes it
		if resp.StatusCode != http.StatusCreated {
			t.Fatalf("alice's outbox: %d %s", resp.StatusCode, body)
		}
		id := resp.Header.Get("Location")
		if id == "" || id != resp.Header.Get("X-Activity-Id") || !strings.Contains(body, id) ||
			resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("Content-Type") != "application/activity+json" {
			t.Errorf("header %v", resp.Header)
		}
		bob.awaitMail(t, body)
		alice.awaitMail(t, body) // her own copy
		if status, again := alice.get(t, strings.TrimPrefix(id, alice.base), alice.sample.Token(alice.bob, "read", "write")); status != 200 || again != body {
			t.Errorf("the sender reads %d %s", status, again)
		}
		if status, _ := alice.get(t, strings.TrimPrefix(id, alice.base), ""); status != 404 {
			t.Errorf("anybody reads %d", status)
		}
		resp, body = bob.send(t, epoch, alice.bob.Actor) //nolint:bodyclose // as above
		if resp.StatusCode != http.StatusCreated {
			t.Fatalf("bob's outbox: %d %s", resp.StatusCode, body)
		}
		alice.awaitMail(t, body)
	}
	if n := len(alice.sample.Received()) + len(bob.sample.Received()); n != 0 {
		t.Errorf("%d activities reached the instances", n)
	}
}

// TestOutboxRefuses: each refusal is a status and a sentence.
func TestOutboxRefuses(t *testing.T) {
	s := sendingHere(t, "alice", instance.OpenFetch)
	eve, err := s.sample.AddPerson("eve")
	if err != nil {
		t.Fatal(err)
	}
	mls := `{"type":"PrivateMessage","mediaType":"message/mls","encoding":"base64","content":"AAEAAgFnAAAAAAAAAAEBAAFzBGNjY2M=","to":`
	for _, c := range []struct {
		token, body string
		status      int
		sentence    string
	}{
		{"", mls + `"as:Public"}`, 401, "access token"},
		{s.sample.Token(eve, "read", "write"), mls + `"as:Public"}`, 404, "nothing here"},
		{s.sample.Token(s.bob, "read"), mls + `"` + s.bob.Actor + `"}`, 403, "write"},
		{s.sample.Token(s.bob, "read", "write"), mls + `"as:Public"}`, 400, "everybody"},
		{s.sample.Token(s.bob, "read", "write"), mls + `"` + s.bob.Actor + `/followers"}`, 400, "collection"},
		{s.sample.Token(s.bob, "read", "write"), `{"type":"Note","content":"hello"}`, 501, "nothing was posted"},
	} {
		resp, body := s.postOutbox(t, c.token, c.body) //nolint:bodyclose // send closes it
		if resp.StatusCode != c.status || !strings.Contains(body, c.sentence) || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", c.body, resp.StatusCode, body)
		}
	}
	none := serveHere(t)
	token := none.sample.Token(none.bob, "read", "write")
	resp, body := none.postOutbox(t, token, mls+`"`+s.bob.Actor+`"}`) //nolint:bodyclose // as above
	if resp.StatusCode != 503 || !strings.Contains(body, "signing.source") {
		t.Errorf("without a signing source: %d %s", resp.StatusCode, body)
	}
}
