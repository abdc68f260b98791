package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Signer is who signs, and how. Key is an RSA, Ed25519 or ECDSA (P-256) key;
// its holder may be a hardware module.
type Signer struct {
	KeyID   string
	Key     crypto.Signer
	Scheme  string   // Cavage ("" too) or RFC9421
	Covered []string // nil: what every known peer accepts
}

// Sign returns the header fields that make r signed at now: Date and Digest
// (cavage) or Content-Digest (RFC 9421) where r has none, and the signature.
// It does not change r. The caller adds the fields to what it sends.
func Sign(r *Request, s Signer, now time.Time) ([]Field, error) {
	if s.KeyID == "" || strings.ContainsAny(s.KeyID, "\"\\\r\n") {
		return nil, fmt.Errorf("sign: key id %q cannot stand in a header", s.KeyID)
	}
	switch s.Scheme {
	case Cavage, "":
		return signCavage(r, s, now)
	case RFC9421:
		return signMessage(r, s, now)
	default:
		return nil, fmt.Errorf("sign: unknown scheme %q", s.Scheme)
	}
}

// with returns r with more header fields, leaving r as it was.
func (r *Request) with(fields []Field) *Request {
	c := *r
	c.Header = append(append([]Field(nil), r.Header...), fields...)
	return &c
}

// signCavage covers (request-target), host, date and digest.
func signCavage(r *Request, s Signer, now time.Time) ([]Field, error) {
	var add []Field
	if !r.has("date") {
		add = append(add, Field{"Date", now.UTC().Format(http.TimeFormat)})
	}
	covered := []string{"(request-target)", "host", "date"}
	if r.needsDigest() {
		covered = append(covered, "digest")
		if !r.has("digest") {
			d := sha256.Sum256(r.Body)
			add = append(add, Field{"Digest", "SHA-256=" + base64.StdEncoding.EncodeToString(d[:])})
		}
	}
	if s.Covered != nil {
		covered = s.Covered
	}
	c := &cavage{r: r.with(add), p: params{headers: covered, created: now.Unix()}}
	if err := c.collect(); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	algorithm := "hs2019"
	if _, ok := s.Key.Public().(*rsa.PublicKey); ok {
		algorithm = "rsa-sha256"
	}
	value, err := signBytes(s.Key, c.signingString(r.Target))
	if err != nil {
		return nil, err
	}
	created := ""
	if c.covers("(created)") {
		created = fmt.Sprintf(",created=%d", c.p.created)
	}
	return append(add, Field{"Signature", fmt.Sprintf(`keyId="%s",algorithm="%s"%s,headers="%s",signature="%s"`,
		s.KeyID, algorithm, created, strings.Join(covered, " "), base64.StdEncoding.EncodeToString(value))}), nil
}

// signBytes signs as the key's kind is used in both schemes: RSA PKCS #1 v1.5
// and ECDSA over SHA-256, Ed25519 over the bytes. ECDSA comes out as ASN.1.
func signBytes(key crypto.Signer, text []byte) ([]byte, error) {
	var value []byte
	var err error
	switch key.Public().(type) {
	case ed25519.PublicKey:
		value, err = key.Sign(rand.Reader, text, crypto.Hash(0))
	case *rsa.PublicKey, *ecdsa.PublicKey:
		digest := sha256.Sum256(text)
		value, err = key.Sign(rand.Reader, digest[:], crypto.SHA256)
	default:
		err = errors.New("no algorithm for this kind of key")
	}
	if err != nil {
		return nil, fmt.Errorf("sign with a key of type %T: %w", key.Public(), err)
	}
	return value, nil
}
