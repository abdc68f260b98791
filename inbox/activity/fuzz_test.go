package activity_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/inbox/activity"
)

// FuzzParse holds Parse to encoding/json: a body that its first-key or last-key reading calls MLS is
// never forwarded, an accepted body has one reading only, and asking twice gives the same answer.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/dialects/*.json")
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, object := range []string{
		`{"type":"Note","content":"x"}`, `{"type":["Note","Welcome"],"content":"AAEC"}`, `{"@type":{"@value":"mls:Welcome"}}`,
		`{"mediaType":"message\/mls"},"object":7`, `{"type":"Collection","items":[{"\u006dediaType":"MESSAGE/MLS;x=1"}]}`,
	} {
		f.Add([]byte(with(object)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		a, err := activity.Parse(body, limits)
		if !bytes.Equal(body, before) {
			t.Fatal("the body was changed")
		}
		again, errAgain := activity.Parse(before, limits)
		if (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() || !reflect.DeepEqual(a, again) {
			t.Fatalf("unstable: %v, then %v", err, errAgain)
		}
		first, last := read(body, true), read(body, false)
		if errors.Is(err, activity.ErrNotMLS) {
			if isMLS(first) || isMLS(last) {
				t.Fatalf("%q is MLS to encoding/json and would be forwarded", body)
			}
			return
		}
		if err != nil {
			if !errors.Is(err, activity.ErrMalformed) {
				t.Fatalf("unknown error %v", err)
			}
			return
		}
		accepted(t, a, first, last)
	})
}

// accepted checks what holds for every activity that Parse returns.
func accepted(t *testing.T, a *activity.Activity, first, last any) {
	t.Helper()
	if !json.Valid(a.Raw) || !reflect.DeepEqual(first, last) {
		t.Fatalf("%q has several readings", a.Raw)
	}
	if a.Actor == "" || a.Type == "" || len(a.Objects) == 0 {
		t.Fatalf("incomplete: %+v", a)
	}
	if m, ok := first.(map[string]any); ok {
		if actor, ok := m["actor"].(string); ok && actor != a.Actor {
			t.Fatalf("actor %q, encoding/json says %q", a.Actor, actor)
		}
		if id, ok := m["id"].(string); ok && id != a.ID {
			t.Fatalf("id %q, encoding/json says %q", a.ID, id)
		}
	}
	if r := a.Recipients(); len(r) != len(slices.Compact(slices.Sorted(slices.Values(r)))) {
		t.Fatalf("recipients twice: %q", r)
	}
}

// read decodes body with encoding/json's tokens. Of a key given twice the first or the last counts.
func read(body []byte, firstKey bool) any {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if !json.Valid(body) {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	return readValue(d, firstKey)
}

func readValue(d *json.Decoder, firstKey bool) any {
	token, err := d.Token()
	if err != nil {
		return nil
	}
	switch token {
	case json.Delim('{'):
		m := map[string]any{}
		for d.More() {
			key, _ := d.Token()
			v := readValue(d, firstKey)
			name, _ := key.(string)
			if _, twice := m[name]; !twice || !firstKey {
				m[name] = v
			}
		}
		_, _ = d.Token()
		return m
	case json.Delim('['):
		list := []any{}
		for d.More() {
			list = append(list, readValue(d, firstKey))
		}
		_, _ = d.Token()
		return list
	}
	return token
}

// isMLS is the definition of interop.md, written without regard to speed.
func isMLS(v any) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, isMLS)
	case map[string]any:
		for key, value := range v {
			switch plain(key) {
			case "type", "@type":
				if holds(value, func(s string) bool {
					return slices.Contains([]string{"PublicMessage", "PrivateMessage", "Welcome", "GroupInfo", "KeyPackage"}, plain(s))
				}) {
					return true
				}
			case "mediaType":
				if holds(value, func(s string) bool {
					return strings.ToLower(strings.TrimSpace(strings.Split(s, ";")[0])) == "message/mls"
				}) {
					return true
				}
			case "object", "items", "orderedItems", "@graph", "@list", "@set":
				if isMLS(value) {
					return true
				}
			}
		}
	}
	return false
}

func holds(v any, is func(string) bool) bool {
	switch v := v.(type) {
	case string:
		return is(v)
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return holds(e, is) })
	case map[string]any:
		return holds(v["@value"], is) || holds(v["@id"], is)
	}
	return false
}

func plain(s string) string {
	for _, p := range []string{"mls:", "as:", "https://purl.archive.org/socialweb/mls#", "https://www.w3.org/ns/activitystreams#"} {
		if rest, ok := strings.CutPrefix(s, p); ok {
			return rest
		}
	}
	return s
}
