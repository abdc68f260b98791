package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
)

// signingString builds the text that is signed (draft-cavage-12 §2.3).
func (c *cavage) signingString(target string) []byte {
	var b []byte
	for i, name := range c.p.headers {
		if i > 0 {
			b = append(b, '\n')
		}
		b = append(append(b, name...), ": "...)
		switch name {
		case "(request-target)":
			b = append(append(append(b, strings.ToLower(c.r.Method)...), ' '), target...)
		case "(created)":
			b = strconv.AppendInt(b, c.p.created, 10)
		case "(expires)":
			b = strconv.AppendInt(b, c.p.expires, 10)
		default:
			b = append(b, strings.Join(c.r.values(name), ", ")...)
		}
	}
	return b
}

// verifyCavageString checks a signing string of our own making, by the rule
// that the library follows: SHA-256 with RSA PKCS #1 v1.5 and ECDSA (ASN.1),
// or Ed25519.
func verifyCavageString(key crypto.PublicKey, text, value []byte) error {
	digest := sha256.Sum256(text)
	ok := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], value) == nil
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, digest[:], value)
	case ed25519.PublicKey:
		ok = len(k) == ed25519.PublicKeySize && ed25519.Verify(k, text, value)
	}
	if !ok {
		return fmt.Errorf("%w: (request-target) and (created) by %T", ErrMismatch, key)
	}
	return nil
}
