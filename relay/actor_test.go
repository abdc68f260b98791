package relay

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sealgate/sealgate/policy/mastodon"
)

func editor() *Relay {
	people, err := mastodon.New(mastodon.Options{Domain: "social.example", Web: "http://127.0.0.1:1"})
	if err != nil {
		panic(err)
	}
	return &Relay{
		domain: "social.example", base: "https://social.example", log: slog.New(slog.DiscardHandler),
		leaving: func() bool { return false }, people: people,
	}
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b)
}

// without takes the texts out of an edited document, each once.
func without(edited []byte, texts ...string) []byte {
	for _, text := range texts {
		edited = bytes.Replace(edited, []byte(text), nil, 1)
	}
	return edited
}

const aliceOffers = `,"keyPackages":"https://social.example/e2ee/users/alice/keyPackages"` +
	`,"messages":"https://social.example/e2ee/users/alice/messages"`

func TestActorDocumentKeepsEveryByte(t *testing.T) {
	for _, name := range []string{"mastodon-4.5-actor-named.json", "mastodon-4.6-actor-numeric.json"} {
		doc := sample(t, name)
		edited, ok := editor().editActor(doc)
		if !ok {
			t.Fatalf("%s is left alone", name)
		}
		if got := without(edited, ","+inlineContext, aliceOffers); !bytes.Equal(got, doc) {
			t.Errorf("%s is not what it was:\n%s", name, got)
		}
		checkMeaning(t, doc, edited)
	}
}

// checkMeaning holds an edited document against the original as a JSON reader
// sees both: only our properties and our context are new.
func checkMeaning(t interface{ Errorf(string, ...any) }, doc, edited []byte) {
	var before, after map[string]any
	if err := json.Unmarshal(doc, &before); err != nil {
		t.Errorf("%v in %s", err, doc)
	}
	if err := json.Unmarshal(edited, &after); err != nil {
		t.Errorf("%v in %s", err, edited)
		return
	}
	name, _ := before["preferredUsername"].(string)
	for _, property := range []string{"keyPackages", "messages"} {
		u, _ := after[property].(string)
		if !strings.HasPrefix(u, "https://social.example/e2ee/users/") || !strings.HasSuffix(u, "/"+property) {
			t.Errorf("%s of %q is %q", property, name, u)
		}
		delete(after, property)
	}
	var inline any
	_ = json.Unmarshal([]byte(inlineContext), &inline)
	contexts, _ := after["@context"].([]any)
	if len(contexts) == 0 || !reflect.DeepEqual(contexts[len(contexts)-1], inline) {
		t.Errorf("the context does not end in ours: %v", contexts)
		return
	}
	contexts = contexts[:len(contexts)-1]
	if _, wasList := before["@context"].([]any); wasList {
		after["@context"] = contexts
	} else {
		after["@context"] = contexts[0]
	}
	if !reflect.DeepEqual(before, after) {
		t.Errorf("the rest changed:\n%v\n%v", before, after)
	}
}

func TestActorDocumentLeftAlone(t *testing.T) {
	person := `{"@context":"https://www.w3.org/ns/activitystreams","id":"https://social.example/users/alice",` +
		`"type":"Person","preferredUsername":"alice","inbox":"https://social.example/users/alice/inbox"`
	if _, ok := editor().editActor([]byte(person + "}")); !ok {
		t.Fatal("the plain person is left alone")
	}
	for what, doc := range map[string]string{
		"empty":              ``,
		"truncated":          person,
		"not an object":      `[` + person + `}]`,
		"a service":          strings.Replace(person, `"Person"`, `"Service"`, 1) + `}`,
		"an application":     strings.Replace(person, `"Person"`, `"Application"`, 1) + `}`,
		"a note":             strings.Replace(person, `"Person"`, `"Note"`, 1) + `}`,
		"another host":       strings.Replace(person, `social.example/users/alice"`, `far.example/users/alice"`, 1) + `}`,
		"a host alike":       strings.Replace(person, `social.example/users/alice"`, `social.example.evil/users/alice"`, 1) + `}`,
		"no name":            strings.Replace(person, `preferredUsername`, `nick`, 1) + `}`,
		"no context":         strings.Replace(person, `"@context"`, `"context"`, 1) + `}`,
		"null context":       strings.Replace(person, `"https://www.w3.org/ns/activitystreams"`, `null`, 1) + `}`,
		"two ids":            person + `,"id":"https://social.example/users/bob"}`,
		"suspended":          person + `,"suspended":true}`,
		"own keyPackages":    person + `,"keyPackages":"https://social.example/kp"}`,
		"escaped":            person + `,"key\u0050ackages":"https://social.example/kp"}`,
		"prefixed":           person + `,"mls:keyPackages":"https://social.example/kp"}`,
		"full IRI":           person + `,"https://purl.archive.org/socialweb/mls#keyPackages":"x"}`,
		"own messages":       person + `,"messages":"https://social.example/m"}`,
		"inbox not a string": strings.Replace(person, `"https://social.example/users/alice/inbox"`, `{}`, 1) + `}`,
	} {
		if edited, ok := editor().editActor([]byte(doc)); ok {
			t.Errorf("%s is changed: %s", what, edited)
		}
	}
}

func TestNativeKeyPackagesAreSaidOnce(t *testing.T) {
	var log bytes.Buffer
	r := editor()
	r.log = slog.New(slog.NewTextHandler(&log, nil))
	doc := `{"@context":"x","id":"https://social.example/users/a","type":"Person","preferredUsername":"a","inbox":"i","keyPackages":"k"}`
	for range 3 {
		r.editActor([]byte(doc))
	}
	if got := strings.Count(log.String(), "sealgate leave"); got != 1 {
		t.Errorf("said %d times:\n%s", got, log.String())
	}
}

func TestEndpointsAreExtendedInPlace(t *testing.T) {
	r := editor()
	r.endpoints = []property{{"proxyUrl", "/e2ee/proxy"}, {"sharedInbox", "/never"}}
	start := `{"@context":[],"id":"https://social.example/users/a","type":"Person","preferredUsername":"a","inbox":"i"`
	for doc, want := range map[string]string{
		`,"endpoints":{"sharedInbox":"s"}}`: `"endpoints":{"sharedInbox":"s","proxyUrl":"https://social.example/e2ee/proxy"},"keyPackages"`,
		`,"endpoints":{ }}`:                 `"endpoints":{ "proxyUrl":"https://social.example/e2ee/proxy","sharedInbox":"https://social.example/never"},"key`,
		`}`:                                 `"endpoints":{"proxyUrl":"https://social.example/e2ee/proxy","sharedInbox":"https://social.example/never"}}`,
		`,"endpoints":null}`:                `"endpoints":null,"keyPackages"`,
	} {
		edited, ok := r.editActor([]byte(start + doc))
		if !ok || !json.Valid(edited) || !bytes.Contains(edited, []byte(want)) {
			t.Errorf("%s became %s, want %s in it", doc, edited, want)
		}
	}
}

// TestActorDocumentOfAnyShape edits documents with any white space, order,
// nesting and escapes.
func TestActorDocumentOfAnyShape(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc := anyActor(t)
		edited, ok := editor().editActor(doc)
		if !ok {
			t.Fatalf("left alone: %s", doc)
		}
		checkMeaning(t, doc, edited)
		if !isSubsequence(doc, edited) {
			t.Fatalf("bytes are missing:\n%s\n%s", doc, edited)
		}
	})
}

// isSubsequence: every byte of doc is in edited, in order.
func isSubsequence(doc, edited []byte) bool {
	for _, c := range edited {
		if len(doc) > 0 && doc[0] == c {
			doc = doc[1:]
		}
	}
	return len(doc) == 0
}

func anyActor(t *rapid.T) []byte {
	name := rapid.StringMatching(`[a-z0-9_]{1,12}`).Draw(t, "name")
	context := rapid.SampledFrom([]string{
		`"https://www.w3.org/ns/activitystreams"`, `[ ]`, `["a", {"b":"]"}]`, `{"x":"y"}`,
	}).Draw(t, "context")
	endpoints := rapid.SampledFrom([]string{`{"sharedInbox":"https://social.example/inbox"}`, `{}`, `null`, `"x"`}).Draw(t, "endpoints")
	fields := []string{
		`"@context":` + context, `"id":"https://social.example/users/` + name + `"`,
		rapid.SampledFrom([]string{`"type":"Person"`, `"type" : ["Person","x:Y"]`, `"typ\u0065":"Person"`}).Draw(t, "type"),
		`"preferredUsername":"` + name + `"`, `"inbox":"https:\/\/social.example\/users\/x\/inbox"`, `"endpoints":` + endpoints,
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "more") {
		value, err := json.Marshal(rapid.Map(rapid.SliceOf(rapid.String()), func(s []string) any {
			return map[string]any{"nested": s, "number": len(s), `"{[`: nil}
		}).Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		fields = append(fields, `"f`+string(rune('a'+i))+`":`+string(value))
	}
	fields = rapid.Permutation(fields).Draw(t, "order")
	blank := rapid.SampledFrom([]string{"", " ", "\n\t", "\r\n  "}).Draw(t, "blank")
	return []byte(blank + "{" + blank + strings.Join(fields, blank+","+blank) + blank + "}" + blank)
}

func FuzzEditActor(f *testing.F) {
	f.Add(sample(f, "mastodon-4.5-actor-named.json"))
	f.Add(sample(f, "mastodon-4.6-actor-numeric.json"))
	f.Add([]byte(`{"@context":[],"id":"https://social.example/a","type":["Person"],"preferredUsername":"\"","inbox":"i","endpoints":{}}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		edited, ok := editor().editActor(doc)
		if !ok {
			return
		}
		if !isSubsequence(doc, edited) {
			t.Errorf("bytes are missing:\n%s\n%s", doc, edited)
		}
		if !json.Valid(edited) {
			t.Errorf("no longer JSON: %s", edited)
		}
	})
}
