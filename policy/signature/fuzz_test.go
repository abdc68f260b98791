package signature_test

import (
	"errors"
	"testing"

	"github.com/sealgate/sealgate/policy/signature"
)

// Whatever the headers say: no panic, an error of ours, and never a signature
// that holds for a key that made none.
func FuzzParse(f *testing.F) {
	for _, scheme := range []string{signature.Cavage, signature.RFC9421} {
		r := signed(f, scheme, now)
		f.Add(r.Get("Signature"), r.Get("Signature-Input"), r.Get("Digest"), r.Get("Content-Digest"), r.Get("Date"))
	}
	f.Add(`keyId="a\"b",headers="(created) x",created=1`, `s=("a";sf "@query-param";name="x");created=1;tag`, "SHA-256=", "sha-256=::", "")
	other := badKeys()
	sentinels := []error{
		signature.ErrUnsigned, signature.ErrMalformed, signature.ErrUnsupported, signature.ErrCoverage,
		signature.ErrHost, signature.ErrStale, signature.ErrDigest, signature.ErrMismatch,
	}
	f.Fuzz(func(t *testing.T, sig, input, digest, contentDigest, date string) {
		r := request()
		for name, v := range map[string]string{
			"Signature": sig, "Signature-Input": input, "Digest": digest, "Content-Digest": contentDigest, "Date": date,
		} {
			if v != "" {
				add(r, name, v)
			}
		}
		s, err := signature.Parse(r, rules)
		if err != nil {
			for _, want := range sentinels {
				if errors.Is(err, want) {
					return
				}
			}
			t.Fatalf("an error nobody can tell apart: %v", err)
		}
		if s.KeyID == "" || len(s.Covered) == 0 {
			t.Fatalf("accepted without key id or coverage: %+v", s)
		}
		for _, key := range other {
			if s.Verify(key) == nil {
				t.Fatalf("holds for a key of type %T that signed nothing", key)
			}
		}
	})
}
