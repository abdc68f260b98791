package splice_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/relay/splice"
)

func isBlind(m splice.Member) bool { return m.Term == "bto" || m.Term == "bcc" }

func TestEdits(t *testing.T) {
	f := func(doc, want string) {
		t.Helper()
		o, err := splice.Parse([]byte(doc))
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		edits := append(o.Without(isBlind), o.Set(splice.Field{Term: "id", Value: "<é>"}, splice.Field{Term: "actor", Value: "a"})...)
		if got := string(splice.Apply(o.Doc, edits)); got != want {
			t.Errorf("%s became %s, want %s", doc, got, want)
		}
	}
	f(` { } `, ` {"id":"<é>","actor":"a" } `)
	f(`{"x" : 1.50}`, `{"id":"<é>","actor":"a","x" : 1.50}`)
	f(`{"@id":null , "actor":["b"]}`, `{"@id":"<é>" , "actor":"a"}`)
	f(`{"id":"1", "actor":"", "as:id":{"id":2}, "\u0069d":3 }`, `{"id":"<é>", "actor":"a" }`)
	f(`{"bto":1, "id":"", "bcc":[2] ,"actor":"b","as:bto":"\"}"}`, `{"id":"<é>" ,"actor":"a"}`)
	f(`{"bto":1,"bcc":2,"x":{"bto":3}}`, `{"id":"<é>","actor":"a","x":{"bto":3}}`)
}

func TestUnaddressed(t *testing.T) {
	o, err := splice.Parse([]byte(`{"bto":["a",["b"]],"object":[[{"bcc":{"id":"c","bto":"d"},"x":1}]],"to":"e"}`))
	if err != nil {
		t.Fatal(err)
	}
	doc, ids, err := o.Unaddressed()
	if err != nil || string(doc) != `{"object":[[{"x":1}]],"to":"e"}` || !reflect.DeepEqual(ids, []string{"a", "b", "c", "d"}) {
		t.Errorf("%s, %q, %v", doc, ids, err)
	}
	deep, err := splice.Parse([]byte(strings.Repeat(`{"o":`, 65) + "1" + strings.Repeat("}", 65)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := deep.Unaddressed(); !errors.Is(err, splice.ErrDepth) {
		t.Error(err)
	}
}

func TestParseRefuses(t *testing.T) {
	for doc, want := range map[string]error{
		``: splice.ErrSyntax, `{`: splice.ErrSyntax, `{}{}`: splice.ErrSyntax, "\xef\xbb\xbf{}": splice.ErrSyntax,
		`[{}]`: splice.ErrObject, `"{}"`: splice.ErrObject, `null`: splice.ErrObject, ` 1 `: splice.ErrObject,
	} {
		if _, err := splice.Parse([]byte(doc)); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", doc, err, want)
		}
	}
}

// FuzzSplice: an edited document is JSON, says what was set, and says the rest as it did; members that were not
// edited keep their bytes.
func FuzzSplice(f *testing.F) {
	for _, doc := range []string{
		`{"bto":["a",["b"]],"object":[[{"bcc":{"id":"c","bto":"d"},"x":1}]],"to":"e"}`, ` {"@id" : 1e2,"as:id":"\u00e9\"",	"as:bto":{}} `,
		`{"":{"bto":1,"bcc":2}}`, `{"id":"\\","i\u0064":[[],{}],"x":-0.50}`, `{}`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		o, err := splice.Parse(doc)
		if err != nil {
			return
		}
		seen, _, err := o.Unaddressed()
		if err != nil {
			return
		}
		if !reflect.DeepEqual(sighted(decoded(t, doc)), decoded(t, seen)) {
			t.Fatalf("%s became %s", doc, seen)
		}
		o, _ = splice.Parse(seen)
		out, err := splice.Parse(splice.Apply(seen, o.Set(splice.Field{Term: "id", Value: "u"}, splice.Field{Term: "actor", Value: "\"<"})))
		if err != nil || !reflect.DeepEqual(out.IDs("id"), []string{"u"}) || !reflect.DeepEqual(out.IDs("actor"), []string{"\"<"}) {
			t.Fatalf("%v: %s became %s", err, seen, out.Doc)
		}
		if !reflect.DeepEqual(others(o), others(out)) {
			t.Fatalf("%s became %s", seen, out.Doc)
		}
	})
}

// others are the bytes of the members that FuzzSplice does not set.
func others(o splice.Object) (texts []string) {
	for _, m := range o.Members {
		if m.Term != "id" && m.Term != "actor" {
			texts = append(texts, string(o.Doc[m.Key:m.Value.To]))
		}
	}
	return texts
}

func decoded(t *testing.T, doc []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, doc)
	}
	return v
}

// sighted is what a decoded document says but for bto and bcc.
func sighted(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if slices.Contains([]string{"bto", "bcc"}, splice.Term(name)) {
				delete(v, name)
				continue
			}
			v[name] = sighted(value)
		}
	case []any:
		for i := range v {
			v[i] = sighted(v[i])
		}
	}
	return v
}
