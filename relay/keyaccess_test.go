package relay_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/inbox/mls"
	"github.com/sealgate/sealgate/policy"
)

// signers admits whoever X-Signer names, as a service where the name says so.
type signers struct{ gate }

func (g signers) Admit(ctx context.Context, a policy.Arrival) (policy.Signer, error) {
	s, err := g.gate.Admit(ctx, a)
	s.Agent = strings.HasSuffix(s.Actor, "/actor")
	return s, err
}

// as is a signed fetch.
func as(signer string) []string { return []string{"Signature", "keyId=x", "X-Signer", signer} }

func TestInvitersGetOneEach(t *testing.T) {
	w := newKeyWorld(t, signers{})
	device := w.aliceDevice()
	var all []string
	for range 5 {
		all = append(all, w.publish(device.Package()))
	}
	zoe, yan := w.items(as("https://far.example/zoe")...), w.items(as("https://far.example/yan")...)
	if len(zoe) != 1 || len(yan) != 1 || zoe[0] == yan[0] {
		t.Fatalf("%q %q", zoe, yan)
	}
	if again := w.items(as("https://far.example/zoe")...); !slices.Equal(again, zoe) {
		t.Errorf("asked again zoe gets %q after %q", again, zoe)
	}
	bob := w.items("Authorization", ofBob)
	if len(bob) != 1 || bob[0] == zoe[0] || bob[0] == yan[0] {
		t.Errorf("bob's client gets %q", bob)
	}
	anybody := w.items()
	if len(anybody) != 5 || !slices.Contains(all[3:], anybody[0]) {
		t.Errorf("anybody sees %q: all of them, and what nobody has first", anybody)
	}
	first, second := w.items(as("https://far.example/actor")...), w.items(as("https://far.example/actor")...)
	if len(first) != 1 || len(second) != 1 || first[0] == second[0] {
		t.Errorf("a service gets %q and %q", first, second)
	}
	if none := w.items(as("https://far.example/xia")...); len(none) != 0 {
		t.Errorf("xia gets %q, which is somebody's", none)
	}
	if owner := w.items("Authorization", ofAlice); len(owner) != 5 {
		t.Errorf("the owner sees %d", len(owner))
	}
}

// HEAD, and a signature that does not hold, reserve nothing.
func TestReadsThatReserveNothing(t *testing.T) {
	w := newKeyWorld(t, signers{})
	device := w.aliceDevice()
	w.publish(device.Package())
	w.publish(device.Package())
	if got := w.items("Signature", "keyId=x"); len(got) != 2 {
		t.Errorf("a signature that does not hold gets %q", got)
	}
	w.ask(t, http.MethodHead, aliceKeys, nil, as("https://far.example/zoe")...)
	pool, err := w.keys.Pool(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pool.Packages {
		if p.Held(w.keys.Now()) {
			t.Errorf("%s is held", p.ID)
		}
	}
	if got := w.ask(t, http.MethodGet, aliceKeys, nil, "Authorization", "Bearer of-nobody"); got.status != http.StatusUnauthorized {
		t.Errorf("a token of nobody: %d", got.status)
	}
}

// welcome is zoe's invitation of alice.
func welcome(id string, refs ...[]byte) string {
	return fmt.Sprintf(`{"id":"https://far.example/a/%s","type":"Create","actor":%q,"to":[%q],"object":{"type":"Welcome","attributedTo":%q,`+
		`"mediaType":"message/mls","encoding":"base64","content":%q}}`, id, zoe, alice, zoe, base64.StdEncoding.EncodeToString(inboxtest.Welcome(refs...)))
}

func refOf(t *testing.T, bytes []byte) []byte {
	t.Helper()
	m, err := mls.Parse(bytes)
	if err != nil {
		t.Fatal(err)
	}
	return inbox.RefOf(m.KeyPackage)
}

func TestWelcomeConsumesBeforeItIsAnswered(t *testing.T) {
	w := newKeyWorld(t, gate{})
	device := w.aliceDevice()
	one, two := device.Package(), device.Package()
	w.publish(one)
	left := w.publish(two)
	w.publish(device.Package())
	for range 3 { // redelivered
		if got := w.deliver(t, "/users/alice/inbox", welcome("1", refOf(t, one), refOf(t, two))); got.status != http.StatusAccepted {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if got := w.items(); len(got) != 2 || got[0] != left {
			t.Errorf("the collection has %q", got)
		}
	}
	junk := w.deliver(t, "/users/alice/inbox", welcome("2", []byte("junk")))
	unsigned := w.ask(t, http.MethodPost, "/users/alice/inbox", strings.NewReader(welcome("3", refOf(t, two))))
	if got := w.items(); junk.status != http.StatusAccepted || unsigned.status != http.StatusUnauthorized || len(got) != 2 {
		t.Errorf("junk %d, unsigned %d, the collection has %q", junk.status, unsigned.status, got)
	}
}

// A first delivery may have been kept and cut off before its key was consumed.
func TestDuplicateWelcomeStillConsumes(t *testing.T) {
	w := newKeyWorld(t, gate{})
	device := w.aliceDevice()
	one := device.Package()
	body := welcome("1", refOf(t, one))
	w.deliver(t, "/users/alice/inbox", body)
	w.publish(one)
	w.publish(device.Package())
	w.deliver(t, "/users/alice/inbox", body)
	if got := w.items(); len(got) != 1 || len(w.held(t, "1")) != 1 {
		t.Errorf("%q listed, %d messages", got, len(w.held(t, "1")))
	}
}

// TestAnotherWelcomeUnderTheSameIDConsumesNothing: nobody gets it.
func TestAnotherWelcomeUnderTheSameIDConsumesNothing(t *testing.T) {
	w := newKeyWorld(t, gate{})
	device := w.aliceDevice()
	packages := [][]byte{device.Package(), device.Package(), device.Package()}
	for _, one := range packages {
		w.publish(one)
	}
	for _, one := range packages {
		if got := w.deliver(t, "/users/alice/inbox", welcome("1", refOf(t, one))); got.status != http.StatusAccepted {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	if got := w.items(); len(got) != 2 || len(w.held(t, "1")) != 1 {
		t.Errorf("%q listed, %d messages", got, len(w.held(t, "1")))
	}
}

// TestUnverified: a package of a suite that is unknown here is served, and its owner sees which it is.
func TestUnverified(t *testing.T) {
	w := newKeyWorld(t, gate{})
	w.publish(w.aliceDevice().Package())
	odd := w.aliceDevice()
	odd.Suite = 0xf123
	url := w.publish(odd.Package())
	var view struct{ Items, Unverified []string }
	w.document(aliceKeys, &view, "Authorization", ofAlice)
	if len(view.Items) != 2 || !slices.Equal(view.Unverified, []string{url}) {
		t.Errorf("%+v, want %s", view, url)
	}
}

func TestOwnersView(t *testing.T) {
	w := newKeyWorld(t, gate{})
	device := w.aliceDevice()
	one := device.Package()
	w.publish(one)
	other := w.aliceDevice()
	w.posted("/users/alice/outbox", ofAlice, activityOf("Create", keyObject(other.Package(), alice, `"generator":{"name":"Tablet"}`)))
	w.deliver(t, "/users/alice/inbox", welcome("1", refOf(t, one)))
	var view struct {
		Devices []struct {
			Name               string
			TotalItems, Unused int
			BelowLowWater      bool
		}
		Notices []struct {
			Type, Kind, Name, KeyPackage string
			Others                       []string
		}
		History string
	}
	w.document(aliceKeys, &view, "Authorization", ofAlice)
	if len(view.Devices) != 2 || view.Devices[1].Name != "Tablet" || view.Devices[0].TotalItems != 1 || view.Devices[0].Unused != 0 || !view.Devices[0].BelowLowWater {
		t.Errorf("devices %+v", view.Devices)
	}
	if len(view.Notices) != 2 || view.Notices[0].Kind != "new_device" || view.Notices[0].Name != "Tablet" || len(view.Notices[0].Others) != 1 ||
		view.Notices[1].Kind != "last_resort_used" || view.Notices[1].Type != "Notice" {
		t.Errorf("notices %+v", view.Notices)
	}
	for _, header := range [][]string{nil, {"Authorization", ofBob}} {
		if got := w.ask(t, http.MethodGet, aliceKeys, nil, header...); strings.Contains(got.body, "notices") || strings.Contains(got.body, "Tablet") {
			t.Errorf("%q sees %s", header, got.body)
		}
		if got := w.ask(t, http.MethodGet, aliceKeys+"?history=1", nil, header...); got.status != 401 && got.status != 404 {
			t.Errorf("%q gets the history: %d", header, got.status)
		}
	}
	var file inbox.LogFile
	w.document(path(view.History), &file, "Authorization", ofAlice)
	if head, err := inbox.VerifyLog(inbox.Head{}, file.Entries, file.Actor, file.PublicKey); err != nil || head.Count != 2 || file.Total != 2 || file.Actor != alice {
		t.Errorf("the log: %+v %v", file, err)
	}
	var rest inbox.LogFile
	w.document(aliceKeys+"?history=1&after=1", &rest, "Authorization", ofAlice)
	if len(rest.Entries) != 1 || rest.Entries[0].N != 2 {
		t.Errorf("after 1: %+v", rest.Entries)
	}
}

// TestOutboxRefusesKeys: each with a sentence of its own.
func TestOutboxRefusesKeys(t *testing.T) {
	w := newKeyWorld(t, gate{})
	good := w.aliceDevice()
	mine := w.publish(good.Package())
	theirs := "https://social.example/e2ee/users/bob/keyPackages/AAAAAAAAAAAAAAAAAAAAAA"
	spoiled := func(spoil func(*inboxtest.Client)) string {
		d := w.aliceDevice()
		spoil(d)
		return activityOf("Create", keyObject(d.Package(), "as:Public"))
	}
	key := good.Package()[5:37]
	w.publish(func() []byte { d := w.aliceDevice(); d.InitKey = key; return d.Package() }())
	many := make([]string, 0, 101)
	for range 101 {
		many = append(many, keyObject(good.Package(), "as:Public"))
	}
	said := map[string]string{}
	for name, c := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"leaf signature":       {spoiled(func(d *inboxtest.Client) { d.SpoilLeaf = true }), 400, "leaf signature is wrong"},
		"package signature":    {spoiled(func(d *inboxtest.Client) { d.Spoil = true }), 400, "key package signature is wrong"},
		"one key for both":     {spoiled(func(d *inboxtest.Client) { d.InitKey, d.EncryptKey = key, key }), 400, "are the same"},
		"reused init key":      {spoiled(func(d *inboxtest.Client) { d.InitKey = key }), 400, "init key"},
		"somebody else":        {spoiled(func(d *inboxtest.Client) { d.Actor = bob }), 400, `"https://social.example/users/bob"`},
		"x509 without chain":   {spoiled(func(d *inboxtest.Client) { d.Credential = []byte{0, 2, 0} }), 400, "chain is empty"},
		"300 years":            {spoiled(func(d *inboxtest.Client) { d.Lifetime = 290 * 365 * 24 * time.Hour }), 400, "key_packages.max_lifetime"},
		"duplicate extensions": {spoiled(func(d *inboxtest.Client) { d.LastResort, d.Extensions = true, inboxtest.Extension(10, nil) }), 400, "extension occurs twice"},
		"too large":            {spoiled(func(d *inboxtest.Client) { d.Padding = 66_000 }), 413, "65536"},
		"101 at once":          {activityOf("Create", "["+strings.Join(many, ",")+"]"), 403, "key_packages.max_per_device"},
		"another's, removed":   {activityOf("Remove", `"`+theirs+`"`, `"target":"https://social.example`+aliceKeys+`"`), 403, "no key package of yours"},
		"another's, deleted":   {activityOf("Delete", `"`+theirs+`"`), 403, "no key package of yours"},
		"another's, updated":   {activityOf("Update", keyObject(good.Package(), "as:Public", `"id":"`+theirs+`"`)), 403, "no key package of yours"},
		"another's collection": {activityOf("Add", `"`+mine+`"`, `"target":"https://social.example/e2ee/users/bob/keyPackages"`), 403, "your own collection is"},
		"another's name":       {strings.Replace(spoiled(func(*inboxtest.Client) {}), `"actor":"`+alice, `"actor":"`+bob, 1), 403, "the activity's actor is"},
		"another's object":     {strings.Replace(spoiled(func(*inboxtest.Client) {}), `"attributedTo":"`+alice, `"attributedTo":"`+bob, 1), 403, "is attributed to"},
		"unknown":              {activityOf("Add", `"`+mine+`x"`, `"target":"https://social.example`+aliceKeys+`"`), 404, "no key package under this id"},
		"a Welcome inside":     {activityOf("Create", keyObject(inboxtest.Welcome([]byte("r")), "as:Public")), 400, "the bytes are a welcome"},
		"half":                 {activityOf("Create", keyObject(good.Package()[:80], "as:Public")), 400, "cannot be read"},
		"another activity":     {activityOf("Announce", keyObject(good.Package(), "as:Public")), 400, `"Announce"`},
	} {
		got := w.post("/users/alice/outbox", ofAlice, c.body)
		var p struct{ Detail string }
		if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != c.status || !strings.Contains(p.Detail, c.says) {
			t.Errorf("%s: %d %s, want %d with %q", name, got.status, got.body, c.status, c.says)
		}
		if other, ok := said[p.Detail]; ok && c.says != "no key package of yours" {
			t.Errorf("%s and %s are told the same: %s", name, other, p.Detail)
		}
		said[p.Detail] = name
	}
	if got := w.items(); len(got) != 2 {
		t.Errorf("the collection has %d items", len(got))
	}
}

// TestNobodyIsInvitedWhoLeaves: after sealgate leave others find no packages, also those that know the collection from before; the
// owner still sees them.
func TestNobodyIsInvitedWhoLeaves(t *testing.T) {
	w := newKeyWorld(t, signers{})
	w.publish(w.aliceDevice().Package())
	w.leaving.Store(true)
	for name, header := range map[string][]string{"anybody": nil, "zoe": as("https://far.example/zoe"), "bob": {"Authorization", ofBob}} {
		if got := w.items(header...); len(got) != 0 {
			t.Errorf("%s gets %q", name, got)
		}
	}
	if got := w.items("Authorization", ofAlice); len(got) != 1 {
		t.Errorf("the owner sees %q", got)
	}
	w.leaving.Store(false)
	if got := w.items(); len(got) != 1 {
		t.Errorf("after --undo anybody gets %q", got)
	}
}

func TestOutboxAsksWho(t *testing.T) {
	w := newKeyWorld(t, gate{})
	create := func() string { return activityOf("Create", keyObject(w.aliceDevice().Package(), "as:Public")) }
	for name, c := range map[string]struct {
		target, token, body string
		status              int
	}{
		"no token":            {"/users/alice/outbox", "", create(), 401},
		"unknown token":       {"/users/alice/outbox", "Bearer x", create(), 401},
		"narrow token":        {"/users/alice/outbox", "Bearer narrow", create(), 403},
		"another's outbox":    {"/users/bob/outbox", ofAlice, create(), 404},
		"a note":              {"/users/alice/outbox", ofAlice, `{"type":"Create","actor":"` + alice + `","object":{"type":"Note","content":"hello"}}`, 501},
		"Delete of a note":    {"/users/alice/outbox", ofAlice, `{"type":"Delete","actor":"` + alice + `","object":"https://social.example/notes/1"}`, 501},
		"Add to another list": {"/users/alice/outbox", ofAlice, activityOf("Add", `"https://social.example/notes/1"`, `"target":"https://social.example/users/alice/collections/featured"`), 501},
		"no JSON":             {"/users/alice/outbox", ofAlice, `hello`, 501},
		"the account's id":    {"/ap/users/1/outbox", ofAlice, create(), 201},
		"other case":          {"/users/ALICE/outbox", ofAlice, create(), 201},
		"other spelling":      {"/users/%61lice/outbox/", ofAlice, create(), 201},
	} {
		if got := w.post(c.target, c.token, c.body); got.status != c.status {
			t.Errorf("%s: %d %s, want %d", name, got.status, got.body, c.status)
		}
	}
	if got := w.upstream.posts(); len(got) != 0 {
		t.Errorf("the instance got %+v", got)
	}
}

// A token that was good a moment ago is asked about again before it publishes.
func TestRevokedTokenPublishesNothing(t *testing.T) {
	w := newKeyWorld(t, gate{})
	w.publish(w.aliceDevice().Package())
	w.upstream.revoke("of-alice")
	if got := w.ask(t, http.MethodGet, aliceKeys, nil, "Authorization", ofAlice); got.status != http.StatusOK {
		t.Errorf("reads go on for a minute: %d", got.status)
	}
	if got := w.post("/users/alice/outbox", ofAlice, activityOf("Create", keyObject(w.aliceDevice().Package(), "as:Public"))); got.status != http.StatusUnauthorized {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// The official vectors last for ever or have expired: policy refuses them, not
// syntax.
func TestOfficialVectorsAreRefusedByPolicy(t *testing.T) {
	dir := os.Getenv("SEALGATE_VECTORS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "vectors")
	}
	b, err := os.ReadFile(filepath.Join(dir, "messages.json"))
	if err != nil {
		t.Skipf("NOT TESTED: the official vectors are not at %s (SEALGATE_VECTORS)", dir)
	}
	var vectors []struct {
		KeyPackage string `json:"mls_key_package"`
	}
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	w := newKeyWorld(t, gate{})
	refused := 0
	for _, v := range vectors[:min(10, len(vectors))] {
		bytes := hexBytes(t, v.KeyPackage)
		m, err := mls.Parse(bytes)
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.keys.Publish(t.Context(), inbox.Publication{
			Owner: "1", Actor: string(m.KeyPackage.Leaf.Credential.Identity), Activity: "a",
			Uploads: []inbox.Upload{{ID: inbox.NewID(), Package: bytes, Public: true}},
		})
		if errors.Is(err, mls.ErrLifetime) || errors.Is(err, mls.ErrExpired) {
			refused++
		} else {
			t.Errorf("%v", err)
		}
	}
	if refused == 0 {
		t.Error("no vector was tried")
	}
}
