package relay_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/push"
)

const mailboxPath = "/e2ee/users/alice/messages"

func (w *world) done(t *testing.T, token string, n int) answer {
	t.Helper()
	id := url.QueryEscape("https://far.example/a/" + strconv.Itoa(n))
	return w.ask(t, http.MethodDelete, mailboxPath+"?through="+id, nil, "Authorization", "Bearer "+token)
}

// readAs is what one of alice's devices finds in her mailbox, oldest first.
func (w *world) readAs(t *testing.T, token, query string) collection {
	t.Helper()
	got := w.ask(t, http.MethodGet, mailboxPath+query, nil, "Authorization", "Bearer "+token)
	var c collection
	if err := json.Unmarshal([]byte(got.body), &c); err != nil || got.status != http.StatusOK {
		t.Fatalf("%+v, %v", got, err)
	}
	return c
}

func TestADeviceIsDone(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	fill(t, w.store, 1, 50)
	w.readAs(t, "tablet-of-alice", "") // known from its first read on
	if got := w.done(t, "of-alice", 30); got.status != http.StatusNoContent || got.body != "" || got.header.Get("Cache-Control") == "" {
		t.Fatalf("%+v, want 204", got)
	}
	c := w.readAs(t, "of-alice", "")
	if *c.TotalItems != 20 || c.First != mailboxURL+"?page=3" || c.Last != mailboxURL+"?page=2" {
		t.Errorf("%+v of %d", c, *c.TotalItems)
	}
	if got := numbers(t, w.readAs(t, "of-alice", "?page=2").OrderedItems); !same(got, sequence(40, 31)) {
		t.Errorf("page 2 has %v", got)
	}
	if got := numbers(t, w.readAs(t, "of-alice", "?after=https://far.example/a/3").OrderedItems); !same(got, sequence(31, 50)) {
		t.Errorf("after the third: %v", got)
	}
	seek := w.ask(t, http.MethodGet, mailboxPath+"?item=https://far.example/a/30", nil, "Authorization", "Bearer of-alice")
	if seek.status != http.StatusNotFound {
		t.Errorf("what it is done with is found: %+v", seek)
	}
	l := w.listen(t, "", "Last-Event-ID", "0")
	if e := l.any(); e.id != "30" {
		t.Errorf("events begin at %+v", e)
	}
	if got := *w.readAs(t, "tablet-of-alice", "").TotalItems; got != 50 {
		t.Errorf("the other device has %d messages, want all", got)
	}
	if got := w.done(t, "tablet-of-alice", 25); got.status != http.StatusNoContent {
		t.Fatalf("%+v", got)
	}
	if held := w.held(t, "1"); len(held) != 25 || held[0].Position != 26 {
		t.Errorf("%d are kept, want what one of the two still needs", len(held))
	}
}

func TestWhoMayRemove(t *testing.T) {
	w := newWorld(t, memory(), gate{})
	fill(t, w.store, 1, 3)
	for _, c := range []struct {
		target, token string
		status        int
	}{
		{mailboxPath + "?through=https://far.example/a/3", "", 401},
		{mailboxPath + "?through=https://far.example/a/3", "nonsense", 401},
		{mailboxPath + "?through=https://far.example/a/3", "of-bob", 404},
		{mailboxPath + "?through=https://far.example/a/3", "narrow", 403},
		{mailboxPath + "?through=https://far.example/a/4", "of-alice", 404},
		{mailboxPath + "?through=", "of-alice", 404},
		{mailboxPath, "of-alice", 400},
	} {
		got := w.ask(t, http.MethodDelete, c.target, nil, "Authorization", "Bearer "+c.token)
		if got.status != c.status {
			t.Errorf("%s as %q: %+v, want %d", c.target, c.token, got, c.status)
		}
		checkProblem(t, c.target, got)
	}
	if got := len(w.held(t, "1")); got != 3 {
		t.Errorf("%d are kept", got)
	}
}

func TestAFullMailboxIsEmptiedByItsOwner(t *testing.T) {
	size := int64(len(create("1", alice)))
	w := newWorld(t, &inboxtest.Memory{Quota: 2 * size}, gate{})
	w.send(t, 1)
	w.send(t, 2)
	if got := w.deliver(t, "/inbox", create("3", alice)); got.status != http.StatusTooManyRequests {
		t.Fatalf("%+v, want 429", got)
	}
	if got := w.done(t, "of-alice", 1); got.status != http.StatusNoContent {
		t.Fatalf("%+v", got)
	}
	w.send(t, 3)
	if held := w.held(t, "1"); len(held) != 2 || held[0].Position != 2 {
		t.Errorf("%+v: a message that was accepted is gone", held)
	}
}

func TestPushSubscriptionsOverHTTP(t *testing.T) {
	values := &inboxtest.Memory{}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	woken := make(chan string, 10)
	service := roundTrip(func(r *http.Request) (*http.Response, error) {
		woken <- r.URL.String()
		return &http.Response{StatusCode: http.StatusCreated, Body: http.NoBody}, nil
	})
	pusher, err := push.New(push.Options{Values: values, Client: &http.Client{Transport: service}, Key: key, Subject: "https://social.example/"})
	if err != nil {
		t.Fatal(err)
	}
	defer pusher.Close()
	w := newWorldWith(t, memory(), gate{}, func(o *relay.Options) {
		o.Push = pusher
		o.Inbox.OnMail(pusher.Wake)
	})
	const path = "/e2ee/users/alice/push"
	post := func(token, body string) answer {
		return w.ask(t, http.MethodPost, path, strings.NewReader(body), "Authorization", "Bearer "+token, "Content-Type", "application/json")
	}
	const body = `{"endpoint":"https://push.example/alice","expirationTime":null,"keys":{"p256dh":"BNc","auth":"8eD"}}`
	for token, status := range map[string]int{"nonsense": 401, "of-bob": 404, "narrow": 403} {
		if got := post(token, body); got.status != status {
			t.Errorf("as %s: %+v, want %d", token, got, status)
		}
	}
	for _, bad := range []string{"", "{", `{"endpoint":7}`, `{"endpoint":"http://push.example/x"}`, `{"endpoint":"` + strings.Repeat("x", 20<<10) + `"}`} {
		if got := post("of-alice", bad); got.status != http.StatusBadRequest {
			t.Errorf("%.40q: %+v, want 400", bad, got)
		}
	}
	made := post("of-alice", body)
	if made.status != http.StatusCreated || made.header.Get("Location") == "" || strings.Contains(made.body, "BNc") {
		t.Fatalf("%+v", made)
	}
	got := w.ask(t, http.MethodGet, path, nil, "Authorization", "Bearer of-alice")
	if !strings.Contains(got.body, `"applicationServerKey":"`+pusher.PublicKey()+`"`) || !strings.Contains(got.body, "https://push.example/alice") {
		t.Errorf("%+v", got)
	}
	w.send(t, 1)
	if where := <-woken; where != "https://push.example/alice" {
		t.Errorf("woken %s", where)
	}
	for _, status := range []int{204, 404} {
		got := w.ask(t, http.MethodDelete, made.header.Get("Location"), nil, "Authorization", "Bearer of-alice")
		if got.status != status {
			t.Errorf("%+v, want %d", got, status)
		}
	}
	if list, err := pusher.List(t.Context(), inbox.Owner("1")); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
