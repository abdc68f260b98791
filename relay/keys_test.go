package relay_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/relay"
)

const (
	aliceKeys = "/e2ee/users/alice/keyPackages"
	ofAlice   = "Bearer of-alice"
	ofBob     = "Bearer of-bob"
)

// keyWorld is a world with a key directory.
type keyWorld struct {
	*world
	t     *testing.T
	clock *inboxtest.Clock
	keys  *inbox.Directory

	leaving atomic.Bool
}

func newKeyWorld(t *testing.T, g relay.Gate) *keyWorld {
	t.Helper()
	return keyWorldAt(t, g, time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC))
}

func keyWorldAt(t *testing.T, g relay.Gate, at time.Time) *keyWorld {
	t.Helper()
	clock := inboxtest.NewClock()
	clock.Advance(at.Sub(clock.Now()))
	w := &keyWorld{t: t, clock: clock}
	w.keys = inbox.NewDirectory(inbox.DirectoryOptions{
		Store: &inboxtest.KeyMemory{Clock: clock.Now}, Clock: clock.Now, LowWater: 5,
		Key:  ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
		Tell: func(o inbox.Owner, n inbox.Notice) { w.inbox.Tell(o, n) },
	})
	w.world = newWorldWith(t, memory(), g, func(o *relay.Options) { o.Keys, o.Clock, o.Leaving = w.keys, clock.Now, w.leaving.Load })
	return w
}

// post sends an activity to an outbox.
func (w *keyWorld) post(target, token, body string) answer {
	w.t.Helper()
	header := []string{"Content-Type", "application/activity+json"}
	if token != "" {
		header = append(header, "Authorization", token)
	}
	return w.ask(w.t, http.MethodPost, target, strings.NewReader(body), header...)
}

func (w *keyWorld) posted(target, token, body string) answer {
	w.t.Helper()
	a := w.post(target, token, body)
	if a.status != http.StatusCreated {
		w.t.Fatalf("POST %s: %d %s", target, a.status, a.body)
	}
	return a
}

// path is the target of a URL of the gateway's.
func path(url string) string { return strings.TrimPrefix(url, "https://"+domain) }

func (w *keyWorld) items(header ...string) []string {
	w.t.Helper()
	var c struct {
		Type       string
		TotalItems int
		Items      []string
	}
	w.document(aliceKeys, &c, header...)
	if c.Type != "Collection" || c.TotalItems != len(c.Items) {
		w.t.Errorf("%+v", c)
	}
	return c.Items
}

func (w *keyWorld) document(target string, into any, header ...string) answer {
	w.t.Helper()
	a := w.ask(w.t, http.MethodGet, target, nil, header...)
	if a.status != http.StatusOK {
		w.t.Fatalf("GET %s: %d %s", target, a.status, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		w.t.Fatalf("GET %s: %v", target, err)
	}
	return a
}

// aliceDevice makes packages that are good at the time of the world.
func (w *keyWorld) aliceDevice() *inboxtest.Client { return inboxtest.NewClient(alice, w.clock.Now()) }

// keyObject is a KeyPackage object; more are further members.
func keyObject(bytes []byte, to string, more ...string) string {
	return fmt.Sprintf(`{"type":"KeyPackage","to":%q,"attributedTo":%q,"mediaType":"message/mls","encoding":"base64","content":%q%s}`,
		to, alice, base64.StdEncoding.EncodeToString(bytes), strings.Join(append([]string{""}, more...), ","))
}

func activityOf(kind, object string, more ...string) string {
	return fmt.Sprintf(`{"@context":"https://www.w3.org/ns/activitystreams","type":%q,"actor":%q,"object":%s%s}`,
		kind, alice, object, strings.Join(append([]string{""}, more...), ","))
}

func (w *keyWorld) publish(bytes []byte) string {
	w.t.Helper()
	return w.posted("/users/alice/outbox", ofAlice, activityOf("Create", keyObject(bytes, "as:Public"))).header.Get("Location")
}

func TestKeyPackageComesBackVerbatim(t *testing.T) {
	w := newKeyWorld(t, gate{})
	bytes := w.aliceDevice().Package()
	a := w.posted("/users/alice/outbox", ofAlice, activityOf("Create",
		keyObject(bytes, "as:Public", `"mlsSignature":"\u0041b/","bto":["secret"],"summary":"🌽","generator":{"name":"Phone"}`), `"bcc":["secret"]`))
	url := a.header.Get("Location")
	var answered struct {
		ID     string
		Object struct{ ID string }
	}
	if err := json.Unmarshal([]byte(a.body), &answered); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(url, "https://social.example"+aliceKeys+"/") || answered.Object.ID != url || strings.Contains(a.body, "secret") {
		t.Errorf("Location %q, body %s", url, a.body)
	}
	if id := a.header.Get("X-Activity-Id"); id == "" || id != answered.ID || a.header.Get("Content-Type") != "application/activity+json" ||
		a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", a.header)
	}
	item := w.ask(t, http.MethodGet, path(url), nil, "Accept", "application/activity+json")
	for _, want := range []string{
		`"mlsSignature":"\u0041b/"`, `"summary":"🌽"`, `"generator":{"name":"Phone"}`, `"id":"` + url + `"`,
		`"type":["Object","KeyPackage"]`, `"to":"as:Public"`, `"content":"` + base64.StdEncoding.EncodeToString(bytes) + `"`,
		`"ciphersuite":"MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519"`, `"published":"2026-11-01T12:00:00Z"`,
	} {
		if !strings.Contains(item.body, want) {
			t.Errorf("the item lacks %s: %s", want, item.body)
		}
	}
	if strings.Contains(item.body, "secret") || !json.Valid([]byte(item.body)) || item.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("the item: %v %s", item.header, item.body)
	}
	linked := w.ask(t, http.MethodGet, path(url), nil, "Accept", `application/ld+json; profile="https://www.w3.org/ns/activitystreams"`)
	if got := linked.header.Get("Content-Type"); !strings.HasPrefix(got, "application/ld+json") {
		t.Errorf("content type %q", got)
	}
	if got := w.items(); !slices.Equal(got, []string{url}) {
		t.Errorf("the collection: %q", got)
	}
}

func TestOutboxAnswersJSONWhenAsked(t *testing.T) {
	w := newKeyWorld(t, gate{})
	body := activityOf("Create", keyObject(w.aliceDevice().Package(), "as:Public"))
	a := w.ask(t, http.MethodPost, "/users/alice/outbox", strings.NewReader(body), "Authorization", ofAlice, "Accept", "application/json")
	if got := a.header.Get("Content-Type"); a.status != http.StatusCreated || got != "application/json" {
		t.Errorf("%d %q", a.status, got)
	}
}

func TestCollectionIsNotStored(t *testing.T) {
	w := newKeyWorld(t, gate{})
	a := w.ask(t, http.MethodGet, "/e2ee/users/Alice/keyPackages", nil)
	if a.status != 200 || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(a.body, `"items":[]`) {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
}
