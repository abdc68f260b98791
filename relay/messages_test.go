package relay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

const mailboxURL = "https://social.example/e2ee/users/alice/messages"

// collection is any of the documents that messages answers with.
type collection struct {
	ID           string            `json:"id"`
	Type         string            `json:"type"`
	TotalItems   *int              `json:"totalItems"`
	First        string            `json:"first"`
	Last         string            `json:"last"`
	Next         string            `json:"next"`
	Prev         string            `json:"prev"`
	PartOf       string            `json:"partOf"`
	OrderedItems []json.RawMessage `json:"orderedItems"`
}

// read fetches one of alice's documents.
func (w *world) read(t *testing.T, link string) collection {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	got := w.ask(t, http.MethodGet, u.RequestURI(), nil, "Authorization", "Bearer of-alice", "Accept", "application/activity+json")
	if got.status != http.StatusOK {
		t.Fatalf("%s: %+v", link, got)
	}
	var c collection
	if err := json.Unmarshal([]byte(got.body), &c); err != nil {
		t.Fatalf("%s: %v in %s", link, err, got.body)
	}
	return c
}

// fill puts n messages from zoe into alice's mailbox; number i has the id
// https://far.example/a/i.
func fill(t *testing.T, store inbox.Store, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		id := fmt.Sprintf("https://far.example/a/%d", i)
		m := inbox.Message{Owner: "1", Actor: zoe, ActivityID: id, Received: time.Now(), Activity: fmt.Appendf(nil, "{ \"id\":\t%q, \"n\":%d}", id, i)}
		if _, err := store.Append(t.Context(), []inbox.Message{m}); err != nil {
			t.Fatal(err)
		}
	}
}

func numbers(t *testing.T, items []json.RawMessage) []int {
	t.Helper()
	list := []int{}
	for _, item := range items {
		var a struct{ N int }
		if err := json.Unmarshal(item, &a); err != nil {
			t.Fatal(err)
		}
		list = append(list, a.N)
	}
	return list
}

// count gives from, from+step, … to.
func sequence(from, to int) []int {
	list := []int{}
	for i := from; from <= to && i <= to; i++ {
		list = append(list, i)
	}
	for i := from; from > to && i >= to; i-- {
		list = append(list, i)
	}
	return list
}

func same(a, b []int) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func TestMailboxIsItsOwnersAlone(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	fill(t, w.store, 1, 3)
	const path = "/e2ee/users/alice/messages"
	for _, c := range []struct {
		path, authorization string
		status              int
	}{
		{path, "Bearer of-alice", 200},
		{path, "bearer  of-alice", 200},
		{"/e2ee/users/ALICE/messages", "Bearer of-alice", 200},
		{"/e2ee/users/%61lice/messages", "Bearer of-alice", 200},
		{path, "", 401},
		{path, "Basic of-alice", 401},
		{path, "Bearer", 401},
		{path, "Bearer nonsense", 401},
		{path, "Bearer of-bob", 404},
		{path + "?after=x", "Bearer of-bob", 404},
		{path + "?page=1", "", 401},
		{"/e2ee/users/carol/messages", "Bearer of-alice", 404},
		{path, "Bearer narrow", 403},
		{path + "?page=0", "Bearer of-alice", 404},
		{path + "?page=2", "Bearer of-alice", 404},
		{path + "?page=x", "Bearer of-alice", 404},
		{path + "?from=-1", "Bearer of-alice", 404},
		{path + "?access_token=of-alice", "", 401},
	} {
		got := w.ask(t, http.MethodGet, c.path, nil, "Authorization", c.authorization)
		if got.status != c.status || got.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s with %q: %+v, want %d", c.path, c.authorization, got, c.status)
		}
		if c.status != 200 {
			checkProblem(t, c.path, got)
		} else if got.header.Get("Cache-Control") != "private, no-store" {
			t.Errorf("Cache-Control %q", got.header.Get("Cache-Control"))
		}
		if (c.status == 401) != strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s with %q: %v", c.path, c.authorization, got.header)
		}
	}
	if got := w.ask(t, http.MethodGet, path, nil, "Authorization", "Bearer narrow"); !strings.Contains(got.body, `\"read\"`) {
		t.Errorf("%s does not name the scope that is missing", got.body)
	}
}

func TestMailboxIsReadWhileTheInstanceIsAway(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	fill(t, w.store, 1, 1)
	w.read(t, mailboxURL)
	w.upstream.away()
	w.read(t, mailboxURL)
	got := w.ask(t, http.MethodGet, "/e2ee/users/bob/messages", nil, "Authorization", "Bearer of-bob")
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("%+v, want 503 for a token never seen", got)
	}
}

func TestItemsAreTheBytesThatCame(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	body := "\xef\xbb\xbf" + strings.Replace(create("1", alice), `"type":"Create"`, "\"x\" : \"\\u00e9\\/\",\n\t\"type\":\"Create\"", 1)
	w.deliver(t, "/inbox", body)
	c := w.read(t, w.read(t, mailboxURL).First)
	if len(c.OrderedItems) != 1 || string(c.OrderedItems[0]) != strings.TrimPrefix(body, "\xef\xbb\xbf") {
		t.Errorf("%s\nis not\n%s", c.OrderedItems, body)
	}
}

func TestPagesNewestFirst(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	if c := w.read(t, mailboxURL); c.Type != "OrderedCollection" || *c.TotalItems != 0 || c.First != "" || c.OrderedItems == nil {
		t.Errorf("empty: %+v", c)
	}
	fill(t, w.store, 1, 47)
	c := w.read(t, mailboxURL)
	if c.ID != mailboxURL || c.Type != "OrderedCollection" || *c.TotalItems != 47 {
		t.Errorf("%+v", c)
	}
	var all []int
	seen := w.read(t, c.First)
	for page := seen; ; page = w.read(t, page.Next) {
		if page.Type != "OrderedCollectionPage" || page.PartOf != mailboxURL {
			t.Errorf("%+v", page)
		}
		all = append(all, numbers(t, page.OrderedItems)...)
		if page.Next == "" {
			if page.ID != c.Last {
				t.Errorf("ends at %s, last is %s", page.ID, c.Last)
			}
			break
		}
		if back := w.read(t, page.Next).Prev; back != page.ID {
			t.Errorf("prev of the next page is %s, want %s", back, page.ID)
		}
	}
	if !same(all, sequence(47, 1)) {
		t.Errorf("read %v", all)
	}
	fill(t, w.store, 48, 90)
	if again := w.read(t, seen.Next); !same(numbers(t, again.OrderedItems), sequence(40, 21)) {
		t.Errorf("a page changed while messages came: %v", numbers(t, again.OrderedItems))
	}
}

func TestPagesAfterExpiry(t *testing.T) {
	now := time.Now()
	store := &inboxtest.Memory{Clock: func() time.Time { return now }, Retention: time.Hour}
	w := newWorld(t, store, gate{})
	fill(t, w.store, 1, 30)
	now = now.Add(40 * time.Minute)
	fill(t, w.store, 31, 45)
	now = now.Add(40 * time.Minute)
	c := w.read(t, mailboxURL)
	page := w.read(t, c.Last)
	if !same(numbers(t, page.OrderedItems), sequence(40, 31)) || page.Next != "" || page.Prev != c.First {
		t.Errorf("last page %v: %+v of %+v", numbers(t, page.OrderedItems), page, c)
	}
}

func TestAfterInTheShapesOfClients(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	after := func(id string) collection { return w.read(t, mailboxURL+"?after="+url.QueryEscape(id)) }
	plain := func(what string, c collection, want []int) {
		t.Helper()
		if c.Type != "OrderedCollectionPage" || c.First != "" || c.Next != "" || !same(numbers(t, c.OrderedItems), want) {
			t.Errorf("%s: %v in %+v, want %v inline and no links", what, numbers(t, c.OrderedItems), c, want)
		}
	}
	const own = "uri:uuid:473523d9-393d-4b26-af41-37dfbed246a8"
	plain("nothing yet", after(own), nil)
	fill(t, w.store, 1, 20)
	plain("an id of the client's own", after(own), sequence(1, 20))
	plain("the fifth", after("https://far.example/a/5"), sequence(6, 20))
	plain("the last", after("https://far.example/a/20"), nil)
	fill(t, w.store, 21, 65)
	plain("a page of backlog", after("https://far.example/a/45"), sequence(46, 65))
	c := after("https://far.example/a/2")
	if c.Type != "OrderedCollection" || c.First == "" || c.OrderedItems != nil {
		t.Fatalf("a longer backlog: %+v, want first and no items", c)
	}
	var all []int
	for link := c.First; link != ""; {
		page := w.read(t, link)
		all = append(all, numbers(t, page.OrderedItems)...)
		link = page.Next
	}
	if !same(all, sequence(3, 65)) {
		t.Errorf("read %v", all)
	}
}

func TestHeadAndForms(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	fill(t, w.store, 1, 1)
	const path = "/e2ee/users/alice/messages"
	got := w.ask(t, http.MethodGet, path, nil, "Authorization", "Bearer of-alice")
	head := w.ask(t, http.MethodHead, path, nil, "Authorization", "Bearer of-alice")
	if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(got.body)) {
		t.Errorf("HEAD: %+v; GET has %d bytes", head, len(got.body))
	}
	for accept, want := range map[string]string{
		"":                          "application/activity+json",
		"*/*":                       "application/activity+json",
		"application/activity+json": "application/activity+json",
		`application/ld+json; profile="https://www.w3.org/ns/activitystreams"`: `application/ld+json; profile="https://www.w3.org/ns/activitystreams"`,
	} {
		got := w.ask(t, http.MethodGet, path, nil, "Authorization", "Bearer of-alice", "Accept", accept)
		if got.header.Get("Content-Type") != want {
			t.Errorf("Accept %q gets %q, want %q", accept, got.header.Get("Content-Type"), want)
		}
	}
}

func TestPreflight(t *testing.T) {
	w := newWorld(t, &broken{}, gate{})
	for _, path := range []string{"/e2ee/users/alice/messages", "/e2ee/users/alice/keyPackages", "/e2ee/actor"} {
		got := w.ask(t, http.MethodOptions, path, nil, "Origin", "https://client.example", "Access-Control-Request-Method", "GET")
		h := got.header
		if got.status != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "" ||
			h.Get("Access-Control-Allow-Headers") != "Authorization, Content-Type, Accept, Cache-Control, Pragma, Last-Event-ID" ||
			h.Get("Access-Control-Expose-Headers") != "Location, X-Activity-Id, Retry-After" {
			t.Errorf("%s: %+v", path, got)
		}
		got = w.ask(t, http.MethodPut, path, strings.NewReader("x"))
		if got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") == "" {
			t.Errorf("PUT %s: %+v, want 405", path, got)
		}
		checkProblem(t, path, got)
	}
	for _, path := range []string{"/ap/users/1", "/ap/users/1/inbox"} {
		got := w.ask(t, http.MethodOptions, path, nil, "Origin", "https://client.example", "Access-Control-Request-Method", "GET")
		if got.status != http.StatusNoContent || got.header.Get("Access-Control-Allow-Methods") != "GET, HEAD, OPTIONS" ||
			!strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "Authorization") {
			t.Errorf("%s: %+v", path, got)
		}
		if got := w.ask(t, http.MethodOptions, path, nil); got.body != "the upstream's "+path {
			t.Errorf("%+v: OPTIONS that is no preflight is the upstream's", got)
		}
	}
	if got := w.ask(t, http.MethodOptions, "/api/v1/statuses", nil); got.body != "the upstream's /api/v1/statuses" {
		t.Errorf("%+v: the upstream's own preflight is its own", got)
	}
}

// TestAReaderSeesEveryMessageOnce follows after= while others write.
func TestAReaderSeesEveryMessageOnce(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	const total = 120
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := 1; i <= total; i++ {
			id := fmt.Sprintf("https://far.example/a/%d", i)
			m := inbox.Message{Owner: "1", Actor: zoe, ActivityID: id, Activity: fmt.Appendf(nil, `{"id":%q,"n":%d}`, id, i)}
			if _, err := w.store.Append(context.Background(), []inbox.Message{m}); err != nil {
				t.Error(err)
			}
		}
	}()
	var all []int
	link := mailboxURL + "?after=none"
	for done := false; !done; {
		select {
		case <-written:
			done = true // one more round sees the rest
		default:
		}
		for next := link; next != ""; {
			c := w.read(t, next)
			if c.First != "" {
				next = c.First
				continue
			}
			all = append(all, numbers(t, c.OrderedItems)...)
			next = c.Next
		}
		if len(all) > 0 {
			link = mailboxURL + "?after=" + url.QueryEscape(fmt.Sprintf("https://far.example/a/%d", all[len(all)-1]))
		}
	}
	if !same(all, sequence(1, total)) {
		t.Errorf("read %v", all)
	}
}
