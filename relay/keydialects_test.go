package relay_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/inbox/mls"
)

// TestConversations replays what Emissary's client sent: a Create addressed to its
// owner with the object to Public, and after a join an Update in place by URL. Only
// the URL in the Update is changed: it is the one that this gateway gave.
func TestConversations(t *testing.T) {
	create, update := "", ""
	for _, s := range conversations(t) {
		isKeys := s.Method == http.MethodPost && s.URL == "/users/alice/outbox" && strings.Contains(s.Body, `"KeyPackage"`)
		switch {
		case isKeys && strings.Contains(s.Body, `"type":"Create"`):
			create = s.Body
		case isKeys && strings.Contains(s.Body, `"type":"Update"`):
			update = s.Body
		}
	}
	if create == "" || update == "" {
		t.Fatal("the samples have no Create and Update of alice's key package")
	}
	p := newReplay(t, time.Unix(0x6b01f36c+60, 0)) // the Update's lifetime has begun
	made := p.ask(http.MethodPost, "/users/alice/outbox", create)
	url := made.header.Get("Location")
	if made.status != http.StatusCreated || !strings.HasPrefix(url, "http://"+recorded+aliceKeys+"/") {
		t.Fatalf("Create: %d %s %s", made.status, url, made.body)
	}
	p.holds(url, create)
	update = strings.ReplaceAll(update, "http://"+recorded+"/users/alice/keyPackages/k2", url)
	renewed := p.ask(http.MethodPost, "/users/alice/outbox", update)
	if renewed.status != http.StatusCreated || renewed.header.Get("Location") == "" {
		t.Fatalf("Update: %d %s", renewed.status, renewed.body)
	}
	p.holds(url, update)
	gone := p.ask(http.MethodPost, "/users/alice/outbox", fmt.Sprintf(`{"type":"Delete","actor":"http://%s/users/alice","object":%q}`, recorded, url))
	if gone.status != http.StatusCreated {
		t.Fatalf("Delete: %d %s", gone.status, gone.body)
	}
	if got := p.ask(http.MethodGet, aliceKeys, ""); !strings.Contains(got.body, `"totalItems":0`) {
		t.Errorf("after the Delete: %s", got.body)
	}
}

// holds compares the one item of the collection with what an activity carried.
func (p *replay) holds(url, activity string) {
	p.t.Helper()
	if got := p.ask(http.MethodGet, aliceKeys, ""); !strings.Contains(got.body, `"items":["`+url+`"]`) {
		p.t.Errorf("collection: %s", got.body)
	}
	var sent struct{ Object map[string]any }
	var item map[string]any
	got := p.ask(http.MethodGet, strings.TrimPrefix(url, "http://"+recorded), "")
	if err := errors.Join(json.Unmarshal([]byte(activity), &sent), json.Unmarshal([]byte(got.body), &item)); err != nil {
		p.t.Fatal(err)
	}
	for _, name := range []string{"content", "name", "summary", "generator", "ciphersuite", "attributedTo", "mediaType", "encoding"} {
		if fmt.Sprint(item[name]) != fmt.Sprint(sent.Object[name]) {
			p.t.Errorf("%s is %v, was %v", name, item[name], sent.Object[name])
		}
	}
}

// TestBonfire: a device proposal to oneself stays private until an Add; Bonfire's
// own properties come back.
func TestBonfire(t *testing.T) {
	w := newKeyWorld(t, gate{})
	bytes := w.aliceDevice().Package()
	object := keyObject(bytes, alice, `"id":"","mlsSignature":"c2ln","mlsSignerKeyId":"k","contentSignature":{"v":[1, 2]}`)
	proposed := w.posted("/users/alice/outbox", ofAlice, activityOf("Create", object, `"id":"uri:uuid:proposal"`, `"to":["`+alice+`"]`))
	url := proposed.header.Get("Location")
	if got := w.items(); len(got) != 0 {
		t.Errorf("a proposal is listed: %q", got)
	}
	for _, header := range [][]string{nil, {"Authorization", ofBob}} {
		if got := w.ask(t, http.MethodGet, path(url), nil, header...); got.status != http.StatusNotFound {
			t.Errorf("a proposal is shown to %q: %d %s", header, got.status, got.body)
		}
	}
	if got := w.ask(t, http.MethodGet, path(url), nil, "Authorization", ofAlice); got.status != 200 || !strings.Contains(got.body, `"to":"`+alice+`"`) {
		t.Errorf("its owner gets %d %s", got.status, got.body)
	}
	own := w.ask(t, http.MethodGet, aliceKeys, nil, "Authorization", ofAlice)
	if !strings.Contains(own.body, `"proposals":["`+url+`"]`) {
		t.Errorf("the owner's view: %s", own.body)
	}
	w.posted("/users/alice/outbox", ofAlice, activityOf("Add", `"`+url+`"`, `"target":"https://social.example`+aliceKeys+`"`))
	item := w.ask(t, http.MethodGet, path(url), nil)
	for _, want := range []string{`"mlsSignature":"c2ln"`, `"mlsSignerKeyId":"k"`, `"contentSignature":{"v":[1, 2]}`, `"to":"as:Public"`} {
		if !strings.Contains(item.body, want) {
			t.Errorf("the item lacks %s: %s", want, item.body)
		}
	}
	if got := w.items(); len(got) != 1 || got[0] != url {
		t.Errorf("after the Add: %q", got)
	}
}

// TestDraft is the lifecycle of the draft: Create, Add, Remove, Delete, in the
// spellings that occur, by every name a package has.
func TestDraft(t *testing.T) {
	w := newKeyWorld(t, gate{})
	object := strings.NewReplacer(`"type":"KeyPackage"`, `"type":["Object","mls:KeyPackage"]`, `"encoding"`, `"mls:encoding"`,
		`"content"`, `"as:content"`).Replace(keyObject(w.aliceDevice().Package(), alice))
	made := w.posted("/users/alice/outbox", ofAlice, activityOf("Create", object, `"id":"uri:uuid:mine"`))
	url, id := made.header.Get("Location"), made.header.Get("X-Activity-Id")
	collection := `"target":"https://social.example` + aliceKeys + `"`
	w.posted("/users/alice/outbox", ofAlice, activityOf("Add", `"`+id+`"`, collection))
	if got := w.items(); len(got) != 1 || got[0] != url {
		t.Fatalf("after the Add: %q", got)
	}
	w.posted("/users/alice/outbox", ofAlice, activityOf("as:Remove", `{"id":"uri:uuid:mine"}`, collection))
	if got := w.items(); len(got) != 0 {
		t.Errorf("after the Remove: %q", got)
	}
	w.posted("/users/alice/outbox", ofAlice, activityOf("Delete", `{"type":"Tombstone","id":"`+url+`"}`))
}

func TestBatch(t *testing.T) {
	w := newKeyWorld(t, gate{})
	device := w.aliceDevice()
	var objects []string
	for range 100 {
		objects = append(objects, keyObject(device.Package(), "as:Public", `"generator":{"type":"Application","id":"uri:uuid:g","name":"Phone"},"name":"x","summary":"y"`))
	}
	made := w.posted("/users/alice/outbox", ofAlice, activityOf("Create", `{"type":"Collection","totalItems":100,"items":[`+strings.Join(objects, ", ")+`]}`))
	var body struct {
		ID     string
		Object struct{ Items []struct{ ID string } }
	}
	if err := json.Unmarshal([]byte(made.body), &body); err != nil {
		t.Fatal(err)
	}
	listed := w.items()
	if len(listed) != 100 || len(body.Object.Items) != 100 || made.header.Get("Location") != body.ID {
		t.Fatalf("%d listed, %d named, Location %q", len(listed), len(body.Object.Items), made.header.Get("Location"))
	}
	for i, one := range body.Object.Items {
		if one.ID != listed[i] {
			t.Errorf("number %d is %q and %q", i, one.ID, listed[i])
		}
	}
	w.posted("/users/alice/outbox", ofAlice, activityOf("Remove", `"`+body.ID+`"`))
	if got := w.items(); len(got) != 0 {
		t.Errorf("%d left after the batch was removed", len(got))
	}
}

// TestPeersPackages publishes what ts-mls and OpenMLS make, in every suite they
// have, and gets it back byte for byte.
func TestPeersPackages(t *testing.T) {
	for _, name := range []string{"ts-mls.json", "openmls.json"} {
		b, err := os.ReadFile(filepath.Join("..", "inbox", "mls", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Vectors []struct {
				Name, Hex  string
				WireFormat string `json:"wire_format"`
			}
		}
		if err := json.Unmarshal(b, &file); err != nil {
			t.Fatal(err)
		}
		tried := map[mls.Suite]int{}
		for _, v := range file.Vectors {
			if v.WireFormat == "key_package" {
				tried[publishPeers(t, name+" "+v.Name, v.Hex)]++
			}
		}
		if len(tried) < 4 {
			t.Errorf("%s: suites %v", name, tried)
		}
	}
}

// publishPeers publishes one package as the actor and at the time it was made for,
// where the directory takes it: some peers' default lifetimes are for ever.
func publishPeers(t *testing.T, name, text string) mls.Suite {
	t.Helper()
	bytes, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mls.Parse(bytes)
	if err != nil || m.KeyPackage == nil {
		t.Fatalf("%s: %v", name, err)
	}
	k := m.KeyPackage
	at := time.Unix(int64(k.Leaf.Lifetime.NotBefore), 0)
	actor := string(k.Leaf.Credential.Identity)
	keys := inboxtest.NewDirectory(&inboxtest.KeyMemory{Clock: func() time.Time { return at }}, func() time.Time { return at })
	kept, err := keys.Publish(t.Context(), inbox.Publication{
		Owner: "1", Actor: actor, Activity: "a",
		Uploads: []inbox.Upload{{ID: inbox.NewID(), Package: bytes, Content: []byte(base64.StdEncoding.EncodeToString(bytes)), Public: true}},
	})
	if k.Leaf.Lifetime.NotAfter-k.Leaf.Lifetime.NotBefore > 400*86400 {
		if !errors.Is(err, mls.ErrLifetime) {
			t.Errorf("%s lasts for ever: %v", name, err)
		}
		return k.Suite
	}
	if err != nil || !kept[0].Verified {
		t.Errorf("%s: %v", name, err)
		return k.Suite
	}
	_, content, err := keys.Item(t.Context(), "1", kept[0].ID)
	if err != nil || string(content) != base64.StdEncoding.EncodeToString(bytes) {
		t.Errorf("%s came back as something else, %v", name, err)
	}
	if actor == alice {
		w := keyWorldAt(t, gate{}, at)
		url := w.publish(bytes)
		if item := w.ask(t, http.MethodGet, path(url), nil); !strings.Contains(item.body, `"content":"`+string(content)+`"`) ||
			!strings.Contains(item.body, `"ciphersuite":"`+k.SuiteName()+`"`) {
			t.Errorf("%s over HTTP: %s", name, item.body)
		}
	}
	return k.Suite
}

func hexBytes(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
