package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

// commitIn is the Create of a commit for an epoch of a group, to these actors.
func commitIn(group string, epoch uint64, to ...string) string {
	return fmt.Sprintf(`{"type":"Create","to":["%s"],"object":{"type":"PrivateMessage","mediaType":"message/mls","encoding":"base64","content":%q}}`,
		strings.Join(to, `","`), base64.StdEncoding.EncodeToString(inboxtest.Private(inboxtest.Commit, group, epoch, "cccc")))
}

// postAs posts to somebody's outbox with a token.
func (s *served) postAs(t *testing.T, p *instance.Person, token, body string) (status int, header http.Header, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.Actor+"/outbox", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, answer := exchange(t, req) //nolint:bodyclose // exchange closes it
	return resp.StatusCode, resp.Header, answer
}

// TestOneCommitPerEpoch: the second of two people is told where the group stands and
// what was first, and both read the conversation in one order; nobody else reads it.
func TestOneCommitPerEpoch(t *testing.T) {
	s := sendingHere(t, "alice", instance.OpenFetch)
	carol, eve := addPerson(t, s, "carol"), addPerson(t, s, "eve")
	alices, carols := s.sample.Token(s.bob, "read", "write"), s.sample.Token(carol, "read", "write")
	status, header, first := s.postAs(t, s.bob, alices, commitIn("g", 0, carol.Actor))
	if status != 201 {
		t.Fatalf("the first commit: %d %s", status, first)
	}
	status, late, body := s.postAs(t, carol, carols, commitIn("g", 0, s.bob.Actor))
	var problem struct {
		Status         int
		Epoch          uint64
		Winner, Detail string
	}
	if err := json.Unmarshal([]byte(body), &problem); err != nil || status != 409 || problem.Epoch != 1 ||
		problem.Winner != header.Get("Location") || !strings.Contains(problem.Detail, "epoch 1") ||
		late.Get("Content-Type") != "application/problem+json" {
		t.Errorf("the second: %d %v %s", status, late, body)
	}
	status, _, next := s.postAs(t, carol, carols, commitIn("g", 1, s.bob.Actor))
	if status != 201 {
		t.Fatalf("the next epoch: %d %s", status, next)
	}
	var a struct {
		ID     string
		Object struct{ Conversation string }
	}
	if err := json.Unmarshal([]byte(next), &a); err != nil || a.Object.Conversation == "" {
		t.Fatalf("no conversation: %s", next)
	}
	path := strings.TrimPrefix(a.Object.Conversation, s.base)
	for _, token := range []string{alices, carols} {
		status, body := s.get(t, path, token)
		order := fmt.Sprintf(`"totalItems":2,"orderedItems":[%q,%q]`, header.Get("Location"), a.ID)
		if status != 200 || !strings.Contains(body, order) || !strings.Contains(body, `"type":"OrderedCollection"`) {
			t.Errorf("the conversation: %d %s, want %s", status, body, order)
		}
		_, page := s.get(t, path+"?from=0", token)
		if !strings.Contains(page, header.Get("Location")) || !strings.Contains(page, `"OrderedCollectionPage"`) {
			t.Errorf("its page: %s", page)
		}
	}
	for _, token := range []string{"", s.sample.Token(eve, "read", "write")} {
		if status, body := s.get(t, path, token); status != 404 {
			t.Errorf("somebody else reads %d %s", status, body)
		}
	}
	if status, _ := s.get(t, path+"?from=x", alices); status != 404 {
		t.Errorf("a page that is none: %d", status)
	}
}

func addPerson(t *testing.T, s *served, name string) *instance.Person {
	t.Helper()
	p, err := s.sample.AddPerson(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
