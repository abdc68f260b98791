package activity_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/inbox/activity"
)

var limits = activity.Limits{Depth: 32, Keys: 1000}

const create = `{"@context":"https://www.w3.org/ns/activitystreams","id":"https://a.example/1","type":"Create",` +
	`"actor":"https://a.example/users/alice","to":"https://b.example/users/bob","object":%OBJECT%}`

// with puts an object into a Create.
func with(object string) string {
	return strings.ReplaceAll(create, "%OBJECT%", object)
}

func parse(t *testing.T, body string) *activity.Activity {
	t.Helper()
	a, err := activity.Parse([]byte(body), limits)
	if err != nil {
		t.Fatalf("Parse(%.200q): %v", body, err)
	}
	return a
}

func TestReadsEveryField(t *testing.T) {
	body := `{"@context":["https://www.w3.org/ns/activitystreams",{"mls":"https://purl.archive.org/socialweb/mls#"}],
	"id":"uri:uuid:1","type":"Create","actor":{"type":"Person","id":"https://a.example/u/a"},
	"to":["https://b.example/u/b","https://b.example/u/b",{"id":"https://b.example/u/c"}],"cc":"as:Public",
	"bto":["https://b.example/u/d"],"bcc":["https://b.example/u/b"],"audience":"https://b.example/u/e","context":"mls://group","conversation":"https://a.example/c/1",
	"instrument":{"type":"Service","id":"uri:uuid:device"},"published":"2026-08-01T00:00:00Z","unknown":[1,{"x":null}],
	"object":{"id":"","type":["Object","mls:PrivateMessage"],"attributedTo":"https://a.example/u/a","mediaType":"message/mls",
	"encoding":"base64","content":"AAEC_-8","to":"as:Public","audience":["https://b.example/u/b"],"cc":["https://b.example/u/f"],"context":"ctx","conversation":"conv","cipherSuite":"MLS_X",
	"generator":{"type":"Application","name":"Firefox"},"published":"2026-08-01T00:00:01Z"}}`
	a := parse(t, body)
	want := &activity.Activity{
		ID: "uri:uuid:1", Type: "Create", Actor: "https://a.example/u/a",
		To: []string{"https://b.example/u/b", "https://b.example/u/c"}, CC: []string{"as:Public"},
		BTo: []string{"https://b.example/u/d"}, BCC: []string{"https://b.example/u/b"}, Audience: []string{"https://b.example/u/e"},
		Context: "mls://group", Conversation: "https://a.example/c/1", Instrument: "uri:uuid:device",
		Objects: []activity.Object{{
			Types: []string{"Object", "PrivateMessage"}, AttributedTo: "https://a.example/u/a",
			MediaType: "message/mls", Encoding: "base64", To: []string{"as:Public", "https://b.example/u/f", "https://b.example/u/b"}, Context: "ctx", Conversation: "conv",
			CipherSuite: "MLS_X", Generator: "Firefox", Published: "2026-08-01T00:00:01Z",
			Content: []byte{0, 1, 2, 0xff, 0xef},
		}},
		Raw: []byte(body),
	}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got  %+v\nwant %+v", a, want)
	}
	named := []string{"https://b.example/u/b", "https://b.example/u/c", "as:Public", "https://b.example/u/e"}
	if got := a.Named(); !slices.Equal(got, named) {
		t.Errorf("Named() = %q, want %q", got, named)
	}
	recipients := append(named, "https://b.example/u/d", "https://b.example/u/f")
	if got := a.Recipients(); !slices.Equal(got, recipients) {
		t.Errorf("Recipients() = %q, want %q", got, recipients)
	}
}

func TestRawBorrowsAndTheRestIsCopied(t *testing.T) {
	body := []byte(with(`{"type":"Welcome","content":"AAEC"}`))
	a := parse(t, string(body))
	b, err := activity.Parse(body, limits)
	if err != nil {
		t.Fatal(err)
	}
	if &b.Raw[0] != &body[0] || len(b.Raw) != len(body) {
		t.Error("Raw is not the body given")
	}
	clear(body)
	b.Raw, a.Raw = nil, nil
	if !reflect.DeepEqual(a, b) {
		t.Errorf("fields changed with the body: %+v", b)
	}
}

func TestByteOrderMarkIsLeftOut(t *testing.T) {
	body := with(`{"type":"Welcome","content":"AAEC"}`)
	if a := parse(t, "\xef\xbb\xbf"+body); string(a.Raw) != body {
		t.Errorf("Raw begins %q", a.Raw[:8])
	}
}

func TestObjectsInChains(t *testing.T) {
	kp := func(id string) string {
		return `{"type":"KeyPackage","id":"` + id + `","mediaType":"message/mls","content":"AAEC"}`
	}
	f := func(object string, want ...string) {
		t.Helper()
		var ids []string
		for _, o := range parse(t, with(object)).Objects {
			ids = append(ids, o.ID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%s: objects %q, want %q", object, ids, want)
		}
	}
	f(kp("1"), "1")
	f("["+kp("1")+","+kp("2")+"]", "1", "2")
	f(`{"type":"Create","object":`+kp("1")+`}`, "1")
	f(`{"type":"Announce","as:object":[{"type":"Create","https://www.w3.org/ns/activitystreams#object":`+kp("1")+`}]}`, "1")
	f(`{"type":"Collection","items":[`+kp("1")+`,"https://x.example/2",`+kp("3")+`]}`, "1", "3")
	f(`{"type":"OrderedCollection","orderedItems":`+kp("1")+`}`, "1")
	f(`{"type":"Collection","first":{"type":"CollectionPage","items":[`+kp("1")+`]}}`, "1")
	f(`[{"type":"Note","content":"hello"},`+kp("1")+`]`, "1")
	f(`{"@list":[`+kp("1")+`]}`, "1")
}

func TestContentMayBeMissingWhereNothingIsSent(t *testing.T) {
	body := strings.Replace(with(`{"type":"KeyPackage","id":"https://a.example/k/1"}`), `"Create"`, `"Remove"`, 1)
	if a := parse(t, body); a.Type != "Remove" || a.Objects[0].Content != nil {
		t.Errorf("got %+v", a)
	}
	_, err := activity.Parse([]byte(with(`{"type":"KeyPackage"}`)), limits)
	if !errors.Is(err, activity.ErrMalformed) {
		t.Errorf("Create without content: %v", err)
	}
}

func TestContentSpellings(t *testing.T) {
	f := func(content string, want ...byte) {
		t.Helper()
		a := parse(t, with(`{"mediaType":"message/mls","content":`+content+`}`))
		if !slices.Equal(a.Objects[0].Content, want) {
			t.Errorf("%s: %x, want %x", content, a.Objects[0].Content, want)
		}
	}
	f(`"AAE="`, 0, 1)
	f(`"AAE"`, 0, 1)
	f(`"AAE\u003d"`, 0, 1)
	f(`"A A\r\n\tE ="`, 0, 1)
	f(`"-_-_"`, 0xfb, 0xff, 0xbf)
	f(`"+\/+\/"`, 0xfb, 0xff, 0xbf)
	f(`{"@value":"AAE="}`, 0, 1)
	f(`["AAE="]`, 0, 1)
}

func TestIsPublic(t *testing.T) {
	f := func(id string, want bool) {
		t.Helper()
		if activity.IsPublic(id) != want {
			t.Errorf("IsPublic(%q) = %v", id, !want)
		}
	}
	f("Public", true)
	f("as:Public", true)
	f("https://www.w3.org/ns/activitystreams#Public", true)
	f("", false)
	f("public", false)
	f("https://a.example/Public", false)
	f("https://a.example/#Public", false)
}
