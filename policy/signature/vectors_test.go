package signature_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/policy/signature"
)

// A vector is an example of a specification. The examples cover less than our
// rules ask for, so they are checked below the rules.
type vector struct {
	Name, Section, Method, Target, Host string
	Header                              []string // "Name: value"
	Body, Label, Alg, Key               string
	Base                                string // expected text where the specification prints it
}

func loadVectors(t *testing.T, name string) (keys map[string]string, vs []vector) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Keys    map[string]string
		Vectors []vector
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) < 3 {
		t.Fatalf("only %d vectors", len(file.Vectors))
	}
	return file.Keys, file.Vectors
}

func (v vector) request() *signature.Request {
	r := &signature.Request{Method: v.Method, Target: v.Target, Host: v.Host, Body: []byte(v.Body)}
	for _, l := range v.Header {
		name, value, _ := strings.Cut(l, ": ")
		add(r, name, value)
	}
	return r
}

func TestRFC9421AppendixB(t *testing.T) {
	keys, vs := loadVectors(t, "rfc9421-appendix-b.json")
	for _, v := range vs {
		t.Run(v.Section, func(t *testing.T) {
			r := v.request()
			base, value, err := signature.Base(r, v.Label)
			if err != nil {
				t.Fatal(err)
			}
			if v.Base != "" && string(base) != v.Base {
				t.Errorf("base\n%s\nwant\n%s", base, v.Base)
			}
			key := publicKey(t, keys[v.Key])
			for _, alg := range []string{v.Alg, ""} {
				if err := signature.VerifyBase(alg, key, base, value); err != nil {
					t.Errorf("alg %q: %v", alg, err)
				}
			}
			base[0] ^= 1
			if err := signature.VerifyBase(v.Alg, key, base, value); err == nil {
				t.Error("holds for another text")
			}
		})
	}
}

func TestCavageAppendixC(t *testing.T) {
	keys, vs := loadVectors(t, "cavage-appendix-c.json")
	for _, v := range vs {
		t.Run(v.Section, func(t *testing.T) {
			r := v.request()
			key := publicKey(t, keys[v.Key])
			if err := signature.VerifyCavage(r, key); err != nil {
				t.Error(err)
			}
			set(r, "Date", "Sun, 05 Jan 2014 21:31:41 GMT")
			if err := signature.VerifyCavage(r, key); err == nil {
				t.Error("holds for another date")
			}
		})
	}
}
