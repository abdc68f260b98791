package relay_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// crowd is an instance with any number of people more, called crowd0 and so on.
type crowd struct {
	http.Handler

	asked atomic.Int64 // about them
}

func (c *crowd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("acct")
	if r.URL.Path != "/api/v1/accounts/lookup" || !strings.HasPrefix(name, "crowd") {
		c.Handler.ServeHTTP(w, r)
		return
	}
	c.asked.Add(1)
	fmt.Fprintf(w, `{"id":%q,"username":%q,"acct":%q,"uri":"http://%s/users/%s"}`, name, name, name, r.Host, name)
}

// TestOneActivityAsksAboutSoManyPeople: the instance is not asked about everybody a client can name at once, and who
// was found is remembered.
func TestOneActivityAsksAboutSoManyPeople(t *testing.T) {
	p := newReplay(t, time.Now())
	var list []string
	for n := range 150 {
		list = append(list, fmt.Sprintf("http://%s/users/crowd%d", recorded, n))
	}
	activity := `{"type":"Create","to":["` + strings.Join(list, `","`) + `"],"object":{"type":"PrivateMessage","mediaType":"message/mls","content":"` + private(1) + `"}}`
	got := p.send("alice", "POST", "/users/alice/outbox", activity)
	if asked := p.crowd.asked.Load(); got.status != http.StatusTooManyRequests || !strings.Contains(got.body, "remembered") || got.header.Get("Retry-After") == "" || asked != 100 {
		t.Errorf("%d %s after %d questions", got.status, got.body, asked)
	}
	got = p.send("alice", "POST", "/users/alice/outbox", activity)
	if asked := p.crowd.asked.Load(); got.status != http.StatusCreated || asked != 150 {
		t.Errorf("again: %d %s after %d questions", got.status, got.body, asked)
	}
}

// TestWhatClientsGetWrong: what a client gets wrong has a status, a sentence of its own, and a count; and nothing of it is kept.
func TestWhatClientsGetWrong(t *testing.T) {
	p := newReplay(t, time.Now())
	p.token["eve"] = "of-nobody"
	const host, elsewhere = "http://" + recorded, "https://far.example"
	bob := host + "/users/bob"
	post := func(activity string) string {
		return `{"type":"Create",` + activity + `,"object":{"type":"PrivateMessage","mediaType":"message/mls","content":"` + private(1) + `"}}`
	}
	to := func(list ...string) string { return post(`"to":["` + strings.Join(list, `","`) + `"]`) }
	many := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("%s/users/p%d", elsewhere, i))
		}
		return list
	}
	sent := p.send("alice", "POST", "/users/alice/outbox", post(`"id":"`+elsewhere+`/a/1","to":"`+bob+`"`)).header.Get("Location")
	if !strings.HasPrefix(sent, host+"/e2ee/activities/") || strings.Contains(p.send("bob", "GET", strings.TrimPrefix(sent, host), "").body, elsewhere) {
		t.Errorf("an activity with another host's id is sent as %s", sent)
	}
	for _, c := range []struct {
		name, who, method, target, body string
		status                          int
		reason, sentence                string
	}{
		{"no token", "", "POST", "/users/alice/outbox", to(bob), 401, "token", "access token"},
		{"a token of nobody", "eve", "POST", "/users/alice/outbox", to(bob), 401, "token", "sign in again"},
		{"a token of another", "bob", "POST", "/users/alice/outbox", to(bob), 404, "not_found", "nothing here"},
		{"a scope too small", "alice, narrow", "POST", "/users/alice/outbox", to(bob), 403, "scope", `\"write\"`},
		{"another's actor", "alice", "POST", "/users/alice/outbox", post(`"actor":"` + bob + `","to":"` + bob + `"`), 403, "forbidden", "own name"},
		{"an actor of another host", "alice", "POST", "/users/alice/outbox", post(`"actor":"` + elsewhere + `/users/alice","to":"` + bob + `"`), 403, "forbidden", "own name"},
		{"an author of another host", "alice", "POST", "/users/alice/outbox", strings.Replace(to(bob), `{"type":"PrivateMessage"`, `{"type":"PrivateMessage","attributedTo":"`+elsewhere+`/users/alice"`, 1), 403, "forbidden", "attributedTo"},
		{"a huge list", "alice", "POST", "/users/alice/outbox", to(many(1001)...), 400, "malformed", "1001 recipients, over 1000"},
		{"a collection", "alice", "POST", "/users/alice/outbox", to(bob + "/followers"), 400, "malformed", "collection"},
		{"nobody here", "alice", "POST", "/users/alice/outbox", to(host + "/users/nobody"), 400, "malformed", "nobody here"},
		{"not MLS", "alice", "POST", "/users/alice/outbox", `{"type":"Note","content":"hi"}`, 501, "not_mls", "nothing was posted"},
		{"nothing", "alice", "POST", "/users/alice/outbox", "", 400, "malformed", "body is empty: post an activity"},
		{"blanks", "alice", "POST", "/users/alice/outbox", " \r\n", 400, "malformed", "body is empty: post an activity"},
		{"too large", "alice", "POST", "/users/alice/outbox", strings.Repeat(" ", 1<<20) + to(bob), 413, "size", "mailbox.max_activity"},
		{"a page forged", "bob", "GET", "/e2ee/users/bob/messages?page=99999999999999999999", "", 404, "not_found", "no such page"},
		{"a page before the first", "bob", "GET", "/e2ee/users/bob/messages?page=-1", "", 404, "not_found", "no such page"},
		{"an item of nobody", "bob", "GET", "/e2ee/users/bob/messages?item=x", "", 404, "not_found", "no such item"},
		{"done with what is not there", "bob", "DELETE", "/e2ee/users/bob/messages?through=x", "", 404, "not_found", "no such item"},
		{"another's mailbox", "bob", "GET", "/e2ee/users/alice/messages", "", 404, "not_found", "nothing here"},
		{"nobody's mailbox", "bob", "GET", "/e2ee/users/nobody/messages", "", 404, "not_found", "nothing here"},
		{"another's stream", "bob", "GET", "/e2ee/users/alice/events", "", 404, "not_found", "nothing here"},
		{"an activity, by nobody", "", "GET", strings.TrimPrefix(sent, host), "", 404, "not_found", "nothing here"},
		{"no activity, by nobody", "", "GET", "/e2ee/activities/" + strings.Repeat("0", 32), "", 404, "not_found", "nothing here"},
		{"no activity", "bob", "GET", "/e2ee/activities/" + strings.Repeat("0", 32), "", 404, "not_found", "nothing here"},
		{"a conversation forged", "bob", "GET", "/e2ee/conversations/" + strings.Repeat("0", 32) + "?from=99", "", 404, "not_found", "nothing here"},
		{"a wrong method", "bob", "PUT", "/e2ee/users/bob/messages", "", 405, "method", "GET, HEAD, DELETE"},
	} {
		before := count(t, p.metrics, "sealgate_refused_total", c.reason)
		got := p.send(c.who, c.method, c.target, c.body)
		if got.status != c.status || !strings.Contains(got.body, c.sentence) || got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s, want %d with %q", c.name, got.status, got.body, c.status, c.sentence)
		}
		if after := count(t, p.metrics, "sealgate_refused_total", c.reason); after != before+1 {
			t.Errorf("%s: %q was counted %v times", c.name, c.reason, after-before)
		}
	}
	if got := p.send("bob", "GET", "/e2ee/users/bob/messages", ""); got.status != http.StatusOK || !strings.Contains(got.body, `"totalItems":1,`) {
		t.Errorf("bob has %s", got.body)
	}
}
