package relay

import (
	"encoding/json"
	"slices"
	"testing"
)

// FuzzReadPosted: whatever a client posts, what is read of it survives being given ids: the same kind and words, the
// ids where they belong, and a Flag is about somebody named in it.
func FuzzReadPosted(f *testing.F) {
	for _, doc := range []string{
		`{"@context":"https://www.w3.org/ns/activitystreams","type":"Flag","actor":"https://a.example/u","object":["https://b.example/u",{"id":"urn:uuid:1","attributedTo":["https://b.example/u"],"content":"x"}],"content":"why"}`,
		`{"@type":"as:Flag","object":{"type":"Collection","items":[{"content":"a"},[{"content":"b","id":"i"}],"s"]},"content":7}`,
		`{"type":["Add","Flag"],"object":{"orderedItems":{"content":""}},"bto":"x","id":"mine","target":{"@id":"t"}}`,
		"\xef\xbb\xbf{\"object\":{\"object\":{}}}", `{"object":[[[[{"content":1}]]]]}`, `[]`, `{"object":`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := readPosted(doc)
		if err != nil {
			return
		}
		if slices.Contains(p.reported(), "") {
			t.Fatal("nobody is reported")
		}
		ids := make([]string, len(p.objects))
		for i := range ids {
			ids[i] = "https://social.example/e2ee/objects/" + string(rune('a'+i%26))
		}
		out := p.withIDs("https://social.example/e2ee/activities/1", ids)
		if !json.Valid(out) {
			t.Fatalf("no JSON: %s", out)
		}
		again, err := readPosted(out)
		if err != nil || again.kind != p.kind || again.TextOf("content") != p.TextOf("content") || len(again.objects) != len(p.objects) || again.TextOf("id") != "https://social.example/e2ee/activities/1" {
			t.Fatalf("%v: %s became %s", err, doc, out)
		}
		for i, o := range again.objects {
			if got := o.TextOf("id"); got != ids[i] {
				t.Fatalf("object %d is called %q in %s", i, got, out)
			}
		}
	})
}
