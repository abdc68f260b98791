package relay_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestConversationsFromInvitationToReply replays every request that Emissary's client made, two people, from
// signing in to the last reply. Only what the recording server minted is put in our terms: its URLs, and
// the ids that it gave, which are those that this gateway gave for the same post.
func TestConversationsFromInvitationToReply(t *testing.T) {
	s := story{replay: newReplay(t, time.Unix(0x6b01f36c+60, 0)), given: map[string]string{}, mail: map[string][]string{}}
	streams := map[string]<-chan string{}
	for i, r := range conversations(t) {
		what := fmt.Sprintf("request %d, %s %s", i, r.Method, r.URL)
		switch {
		case strings.HasPrefix(r.URL, "/.api/"): // Emissary's own search
		case strings.HasSuffix(r.URL, "/outbox"):
			s.post(t, what, r)
		case strings.HasSuffix(r.URL, "/stream"):
			streams[r.Me] = s.stream(t, r.Me)
		case r.URL == "/mls/proxy":
			s.look(t, what, r)
		case strings.Contains(r.URL, "?after="):
			s.poll(t, what, r)
		case strings.HasSuffix(r.URL, "/messages"):
			s.bare(t, what, r)
		default:
			if got := s.asks(t, r, r.URL); got.status != http.StatusOK || !strings.Contains(got.body, `"messages":"http://`+recorded+`/e2ee/`) {
				t.Errorf("%s: %d %s", what, got.status, got.body)
			}
		}
	}
	if len(s.mail["alice"]) < 3 || len(s.mail["bob"]) < 4 {
		t.Fatalf("little was said: %v", s.mail)
	}
	for me, events := range streams {
		for _, id := range s.mail[me] {
			select {
			case got := <-events:
				if got != id {
					t.Errorf("%s was told of %s, want %s", me, got, id)
				}
			case <-time.After(time.Minute):
				t.Fatalf("%s was not told of %s", me, id)
			}
		}
	}
}

// story is a replay with what it must remember.
type story struct {
	*replay
	count int                 // what the recording server's ids end in
	given map[string]string   // its ids, and the client's own: ours
	mail  map[string][]string // who has which activities
}

// asks is a request of the recorded person, with the recorded header.
func (s *story) asks(t *testing.T, r request, target string) answer {
	t.Helper()
	body := r.Body
	for theirs, ours := range s.given {
		body = strings.ReplaceAll(body, `"`+theirs+`"`, `"`+ours+`"`)
	}
	return s.send(r.Me, r.Method, target, body, "Accept", r.Accept, "Content-Type", r.Type)
}

// post: 201, Location, X-Activity-Id, the activity as its author reads it, with an id for the object.
func (s *story) post(t *testing.T, what string, r request) {
	t.Helper()
	got := s.asks(t, r, r.URL)
	id, location := got.header.Get("X-Activity-Id"), got.header.Get("Location")
	var sent, back struct {
		ID     string
		To     []string
		Type   string
		Object struct{ ID, Type, Content string }
	}
	if err := json.Unmarshal([]byte(r.Body), &sent); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(got.body), &back); err != nil || got.status != http.StatusCreated {
		t.Fatalf("%s: %d %s", what, got.status, got.body)
	}
	if id == "" || location == "" || back.ID != id || back.Object.ID == "" || back.Object.Content != sent.Object.Content ||
		got.header.Get("Content-Type") != "application/activity+json" {
		t.Errorf("%s: %v %s", what, got.header, got.body)
	}
	s.count++
	s.given[fmt.Sprintf("http://%s/users/%s/activities/%d", recorded, r.Me, s.count)] = id
	switch {
	case sent.Object.Type == "KeyPackage" && sent.Type == "Create":
		s.count++
		s.given[fmt.Sprintf("http://%s/users/%s/keyPackages/k%d", recorded, r.Me, s.count)] = location
	case sent.Object.Type != "KeyPackage":
		for _, to := range sent.To {
			name := to[strings.LastIndex(to, "/")+1:]
			s.mail[name] = append(s.mail[name], id)
		}
	}
}

// look: the proxy gives a document of one of us at once.
func (s *story) look(t *testing.T, what string, r request) {
	t.Helper()
	form, err := url.ParseQuery(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	id := form.Get("id")
	if at, isKeys := strings.CutSuffix(id, "/keyPackages"); isKeys {
		id = strings.Replace(at, "/users/", "/e2ee/users/", 1) + "/keyPackages"
	}
	if ours, ok := s.given[id]; ok {
		id = ours
	}
	r.Body = url.Values{"id": {id}}.Encode()
	got := s.asks(t, r, "/e2ee/proxy")
	var document struct{ ID, Type json.RawMessage }
	if err := json.Unmarshal([]byte(got.body), &document); err != nil || got.status != http.StatusOK || string(document.ID) != `"`+id+`"` {
		t.Fatalf("%s of %s: %d %s", what, id, got.status, got.body)
	}
	if strings.Contains(id, "/keyPackages/") && !strings.Contains(got.body, `"ciphersuite":"MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519"`) {
		t.Errorf("%s: without its suite the client ignores %s", what, got.body)
	}
}

// bare: the collection is asked once, for where the events are.
func (s *story) bare(t *testing.T, what string, r request) {
	t.Helper()
	got := s.asks(t, r, "/e2ee"+r.URL)
	if got.status != http.StatusOK || !strings.Contains(got.body, `"eventStream":"http://`+recorded+`/e2ee/users/`+r.Me+`/events"`) {
		t.Errorf("%s: %d %s", what, got.status, got.body)
	}
}

// poll: after a cursor that it was given comes what was posted since, after its own first one everything. The
// client follows `next` only without items, and takes `first` on an empty page for an order to begin anew.
func (s *story) poll(t *testing.T, what string, r request) {
	t.Helper()
	at, after, _ := strings.Cut(r.URL, "?after=")
	cursor, err := url.QueryUnescape(after)
	if err != nil {
		t.Fatal(err)
	}
	want := s.mail[r.Me]
	if ours, ok := s.given[cursor]; ok {
		cursor = ours
		want = want[slices.Index(want, ours)+1:]
	}
	got := s.asks(t, r, "/e2ee"+at+"?after="+url.QueryEscape(cursor))
	var page struct {
		First, Next  string
		OrderedItems []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(got.body), &page); err != nil || got.status != http.StatusOK {
		t.Fatalf("%s: %d %s", what, got.status, got.body)
	}
	var ids []string
	for _, item := range page.OrderedItems {
		ids = append(ids, item.ID)
	}
	if !slices.Equal(ids, want) || page.First != "" || page.Next != "" {
		t.Errorf("%s: %s, want %q", what, got.body, want)
	}
}

// stream gives the ids of the activities that a person is told of.
func (s *story) stream(t *testing.T, me string) <-chan string {
	t.Helper()
	ids := make(chan string, 100)
	res := s.open(me, http.MethodGet, "/e2ee/users/"+me+"/events", "", "Accept", "text/event-stream")
	if kind := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || kind != "text/event-stream" {
		t.Fatalf("the stream of %s is %d %s", me, res.StatusCode, kind)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	lines.Scan() // the cursor: from here on nothing is missed
	go func() {
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			var event struct {
				Type   string
				Object struct{ ID string }
			}
			if ok && json.Unmarshal([]byte(data), &event) == nil && event.Type == "Add" {
				ids <- event.Object.ID
			}
		}
	}()
	return ids
}

// TestBonfireReads: Bonfire's client goes newest first by first and next, and stops at the first id it knows;
// what arrives while it reads neither moves a page nor hides anything from it.
func TestBonfireReads(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	known, last := map[string]bool{}, 0
	sync := func(arriving int) (fresh []int) {
		link := w.read(t, mailboxURL).First
		for link != "" {
			page := w.read(t, link)
			fill(t, w.store, last+1, last+arriving)
			last += arriving
			link = page.Next
			for _, item := range page.OrderedItems {
				var activity struct {
					ID string
					N  int
				}
				if err := json.Unmarshal(item, &activity); err != nil {
					t.Fatal(err)
				}
				if known[activity.ID] {
					link = ""
					break
				}
				known[activity.ID] = true
				fresh = append(fresh, activity.N)
			}
		}
		return fresh
	}
	if got := sync(0); len(got) != 0 {
		t.Errorf("an empty mailbox has %v", got)
	}
	fill(t, w.store, 1, 45)
	last = 45
	if got := sync(3); !same(got, sequence(45, 1)) {
		t.Errorf("the first time it reads %v", got)
	}
	if got := sync(0); !same(got, sequence(last, 46)) {
		t.Errorf("then, up to %d, it reads %v", last, got)
	}
	if got := sync(0); len(got) != 0 {
		t.Errorf("and then %v again", got)
	}
}
