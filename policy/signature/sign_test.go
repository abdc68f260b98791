package signature_test

import (
	"crypto"
	"crypto/ed25519"
	"net/http"
	"strings"
	"testing"

	"github.com/go-fed/httpsig"

	"github.com/sealgate/sealgate/policy/signature"
)

func badKeys() []crypto.PublicKey {
	return []crypto.PublicKey{nil, "key", []byte{1}, 7, ed25519.PublicKey{}, ed25519.PublicKey{1, 2}, rsaKey().Public(), ecKey().Public()}
}

func TestSignRoundTrip(t *testing.T) {
	for _, key := range []crypto.Signer{rsaKey(), edKey, ecKey()} {
		for _, scheme := range []string{signature.Cavage, signature.RFC9421} {
			r := request()
			fields, err := signature.Sign(r, signature.Signer{KeyID: keyID, Key: key, Scheme: scheme}, now)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Header) != 0 {
				t.Fatal("Sign changed the request")
			}
			r.Header = fields
			mustHold(t, r, key.Public())
		}
	}
}

func TestSignRefuses(t *testing.T) {
	f := func(s signature.Signer) {
		t.Helper()
		if fields, err := signature.Sign(request(), s, now); err == nil {
			t.Errorf("signed as %+v: %v", s, fields)
		}
	}
	f(signature.Signer{Key: edKey})
	f(signature.Signer{KeyID: "a\"b", Key: edKey})
	f(signature.Signer{KeyID: "a\r\nX: y", Key: edKey})
	f(signature.Signer{KeyID: "k", Key: edKey, Scheme: "ld"})
	f(signature.Signer{KeyID: "k", Key: edKey, Covered: []string{"x-absent"}})
	f(signature.Signer{KeyID: "k", Key: edKey, Scheme: signature.RFC9421, Covered: []string{"x-absent"}})
	f(signature.Signer{KeyID: "k\x00", Key: edKey, Scheme: signature.RFC9421})
}

// What we sign for cavage peers, the library verifies by itself.
func TestGoFedVerifiesOurs(t *testing.T) {
	req, err := http.NewRequest(http.MethodPost, "https://social.example/users/bob/inbox?q=1", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Digest", "SHA-256=stale")
	if err := signature.SignHTTP(req, []byte(body), signature.Signer{KeyID: keyID, Key: rsaKey()}, now); err != nil {
		t.Fatal(err)
	}
	v, err := httpsig.NewVerifier(req)
	if err != nil {
		t.Fatal(err)
	}
	if v.KeyId() != keyID {
		t.Errorf("key id %q", v.KeyId())
	}
	if err := v.Verify(rsaKey().Public(), httpsig.RSA_SHA256); err != nil {
		t.Fatal(err)
	}
	mustHold(t, signature.FromHTTP(req, []byte(body)), rsaKey().Public())
}

// What the library signs, we verify.
func TestWeVerifyGoFed(t *testing.T) {
	s, _, err := httpsig.NewSigner([]httpsig.Algorithm{httpsig.RSA_SHA256}, httpsig.DigestSha256,
		[]string{httpsig.RequestTarget, "host", "date", "digest"}, httpsig.Signature, 0)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, "https://social.example/users/bob/inbox", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Host", domain)
	req.Header.Set("Date", now.Format(http.TimeFormat))
	if err := s.SignRequest(rsaKey(), keyID, req, []byte(body)); err != nil {
		t.Fatal(err)
	}
	mustHold(t, signature.FromHTTP(req, []byte(body)), rsaKey().Public())
}
