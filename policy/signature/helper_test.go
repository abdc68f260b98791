package signature_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/signature"
)

// When every request of these tests was made and received.
var now = time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)

const (
	domain = "social.example"
	body   = `{"type":"Create","object":{"mediaType":"message/mls"}}`
)

var rules = signature.Rules{Domain: domain, Now: now}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

var edKey = ed25519.NewKeyFromSeed([]byte(strings.Repeat("s", 32)))

var ecKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

// request is a POST to a personal inbox with the headers of the peer.
func request(lines ...string) *signature.Request {
	return target("/users/bob/inbox", lines...)
}

func target(t string, lines ...string) *signature.Request {
	r := &signature.Request{Method: "POST", Target: t, Host: domain, Scheme: "https", Body: []byte(body)}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		r.Header = append(r.Header, signature.Field{Name: name, Value: value})
	}
	return r
}

func add(r *signature.Request, name, value string) *signature.Request {
	r.Header = append(r.Header, signature.Field{Name: name, Value: value})
	return r
}

func set(r *signature.Request, name, value string) *signature.Request {
	for i := range r.Header {
		if strings.EqualFold(r.Header[i].Name, name) {
			r.Header[i].Value = value
			return r
		}
	}
	return add(r, name, value)
}

func drop(r *signature.Request, name string) *signature.Request {
	r.Header = slices.DeleteFunc(r.Header, func(f signature.Field) bool { return strings.EqualFold(f.Name, name) })
	return r
}

func date(t time.Time) string { return "Date: " + t.UTC().Format(http.TimeFormat) }

func sha(b string) string {
	d := sha256.Sum256([]byte(b))
	return base64.StdEncoding.EncodeToString(d[:])
}

// sign makes a raw signature over lines, apart from the code under test.
func sign(t testing.TB, key crypto.Signer, text string) string {
	t.Helper()
	var v []byte
	var err error
	if _, ok := key.(ed25519.PrivateKey); ok {
		v, err = key.Sign(rand.Reader, []byte(text), crypto.Hash(0))
	} else {
		d := sha256.Sum256([]byte(text))
		v, err = key.Sign(rand.Reader, d[:], crypto.SHA256)
	}
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(v)
}

// mustHold asserts the whole way: rules, then key, then not another key.
func mustHold(t *testing.T, r *signature.Request, key crypto.PublicKey) *signature.Signature {
	t.Helper()
	s, err := signature.Parse(r, rules)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	if err := s.Verify(key); err != nil {
		t.Fatalf("Verify: %v", err)
	}
	return s
}

func publicKey(t testing.TB, text string) crypto.PublicKey {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatal("no PEM block")
	}
	if block.Type == "RSA PUBLIC KEY" {
		k, err := x509.ParsePKCS1PublicKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	k, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func unixIn(d time.Duration) string { return fmt.Sprint(now.Add(d).Unix()) }
