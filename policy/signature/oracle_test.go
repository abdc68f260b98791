package signature_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/yaronf/httpsign"

	"github.com/sealgate/sealgate/policy/signature"
)

// yaronf/httpsign, written apart from ours, is the oracle for RFC 9421. It
// reads the wall clock, so these tests sign now.

var shapes = [][]string{
	{"@method", "@target-uri", "content-digest"},
	{"@method", "@target-uri", "@authority", "host", "date", "content-digest"},
	{"@method", "@scheme", "@authority", "@path", "@query", "content-digest"},
	{"@method", "@authority", "@request-target", "content-digest", "content-type"},
}

func plain(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/activity+json")
	return req
}

func oracleVerifier(key crypto.PublicKey, fields httpsign.Fields) (*httpsign.Verifier, error) {
	c := httpsign.NewVerifyConfig().SetKeyID(keyID)
	switch k := key.(type) {
	case *rsa.PublicKey:
		return httpsign.NewRSAVerifier(*k, c, fields)
	case *ecdsa.PublicKey:
		return httpsign.NewP256Verifier(*k, c, fields)
	default:
		return httpsign.NewEd25519Verifier(key.(ed25519.PublicKey), c, fields)
	}
}

func oracleSigner(key crypto.Signer, fields httpsign.Fields) (*httpsign.Signer, error) {
	c := httpsign.NewSignConfig().SetKeyID(keyID)
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return httpsign.NewRSASigner(*k, c, fields)
	case *ecdsa.PrivateKey:
		return httpsign.NewP256Signer(*k, c, fields)
	default:
		return httpsign.NewEd25519Signer(key.(ed25519.PrivateKey), c, fields)
	}
}

var oracleURLs = []string{
	"https://social.example/users/bob/inbox",
	"https://social.example/inbox?a=b&c=%2F",
}

func TestOracleVerifiesOurs(t *testing.T) {
	for _, url := range oracleURLs {
		for _, shape := range shapes {
			for _, key := range []crypto.Signer{rsaKey(), edKey, ecKey()} {
				req := plain(t, url)
				req.Header.Set("Host", domain) // net/http drops it; the oracle reads the map
				req.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
				s := signature.Signer{KeyID: keyID, Key: key, Scheme: signature.RFC9421, Covered: shape}
				fields, err := signature.Sign(signature.FromHTTP(req, []byte(body)), s, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range fields {
					req.Header.Set(f.Name, f.Value)
				}
				v, err := oracleVerifier(key.Public(), httpsign.Headers(shape...))
				if err != nil {
					t.Fatal(err)
				}
				if err := httpsign.VerifyRequest("sig1", *v, req); err != nil {
					t.Errorf("%T %v at %s: %v", key, shape, url, err)
				}
			}
		}
	}
}

func TestWeVerifyTheOracle(t *testing.T) {
	for _, url := range oracleURLs {
		for _, shape := range shapes {
			for _, key := range []crypto.Signer{rsaKey(), edKey, ecKey()} {
				req := plain(t, url)
				req.Header.Set("Host", domain)
				req.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
				copied := io.NopCloser(strings.NewReader(body))
				cd, err := httpsign.GenerateContentDigestHeader(&copied, []string{httpsign.DigestSha256, httpsign.DigestSha512})
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Digest", cd)
				s, err := oracleSigner(key, httpsign.Headers(shape...))
				if err != nil {
					t.Fatal(err)
				}
				input, value, err := httpsign.SignRequest("oracle", *s, req)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Signature-Input", input)
				req.Header.Set("Signature", value)
				sig, err := signature.Parse(signature.FromHTTP(req, []byte(body)), signature.Rules{Domain: domain, Now: time.Now()})
				if err != nil {
					t.Fatalf("%T %v: %v", key, shape, err)
				}
				if err := sig.Verify(key.Public()); err != nil {
					t.Errorf("%T %v at %s: %v", key, shape, url, err)
				}
			}
		}
	}
}
