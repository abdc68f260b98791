package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/cmd/demo/instance"
)

// TestAFlagReachesTheModerators in the reporter's own words and name, whoever issued the token.
func TestAFlagReachesTheModerators(t *testing.T) {
	s, c := serveHere(t), newClient(t)
	zoe := s.sample.AddRemote(instance.Remote{Name: "zoe", Host: "far.example", Actor: "https://far.example/users/zoe"})
	stranger := s.sample.AddRemote(instance.Remote{Name: "x", Host: "new.example", Actor: "https://new.example/ap/users/1", Unseen: true})
	post := func(token, body string) seen {
		t.Helper()
		resp, text := s.postOutbox(t, token, body)
		defer resp.Body.Close()
		return seen{resp.StatusCode, resp.Header, text}
	}
	flag := func(token, object, content string) seen {
		t.Helper()
		return post(token, fmt.Sprintf(`{"@context":"https://www.w3.org/ns/activitystreams","type":"Flag","object":%s,"content":%q}`, object, content))
	}
	instances, own := s.sample.Token(s.bob, "read", "write"), s.signIn(t, c, "/e2ee/oauth/authorize", "/e2ee/oauth/token").Access
	for token, object := range map[string]string{
		instances: `"` + zoe.Actor + `"`,
		own:       `[{"type":"Note","id":"urn:uuid:1","attributedTo":"` + stranger.Actor + `"},"urn:uuid:2"]`,
	} {
		got := flag(token, object, "she wrote: <i>ugly</i> things")
		if got.status != http.StatusCreated || got.header.Get("X-Activity-Id") == "" || !strings.Contains(got.body, `"Flag"`) {
			t.Errorf("%s: %d %s", object, got.status, got.body)
		}
		if status, _ := s.get(t, strings.TrimPrefix(got.header.Get("Location"), s.base), token); status != http.StatusNotFound {
			t.Errorf("a report is kept here: %d", status)
		}
	}
	got := s.sample.Reports()
	if len(got) != 2 {
		t.Fatalf("reports: %+v", got)
	}
	for _, r := range got {
		if r.By != s.bob || r.AccountID != zoe.Account && r.AccountID != stranger.Account || r.Comment != "she wrote: <i>ugly</i> things" || r.Forward {
			t.Errorf("the report: %+v", r)
		}
	}
	if got[0].AccountID == got[1].AccountID {
		t.Error("both are about the same account")
	}

	refused := func(name string, status int, sentence, token, object, content string) {
		t.Helper()
		if got := flag(token, object, content); got.status != status || !strings.Contains(got.body, sentence) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	about := `"` + zoe.Actor + `"`
	refused("too long", 400, "at most 1000 characters, this has 1001", instances, about, strings.Repeat("ä", 1001))
	refused("nobody", 400, "name the actor", instances, `"https://far.example/users/nobody"`, "x")
	refused("nothing", 400, "name the actor", instances, `[]`, "x")
	refused("a token that may not report", 403, "write", s.sample.Token(s.bob, "read", "write:reports"), about, "x")
	other := post(instances, `{"type":"Flag","actor":"https://far.example/users/zoe","object":"x","content":"x"}`)
	if other.status != 403 {
		t.Errorf("in another's name: %d %s", other.status, other.body)
	}
	if n := len(s.sample.Reports()); n != 2 {
		t.Errorf("%d reports", n)
	}
}
