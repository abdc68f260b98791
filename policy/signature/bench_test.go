package signature_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/policy/signature"
)

// How much a signature costs beside the RSA it cannot do without, for a body of
// 4 KiB.
func BenchmarkVerify(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		d := sha256.Sum256([]byte(body))
		value, err := rsaKey().Sign(nil, d[:], crypto.SHA256)
		if err != nil {
			b.Fatal(err)
		}
		k := &rsaKey().PublicKey
		b.ReportAllocs()
		for b.Loop() {
			if err := rsa.VerifyPKCS1v15(k, crypto.SHA256, d[:], value); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, scheme := range []string{signature.Cavage, signature.RFC9421} {
		b.Run(scheme, func(b *testing.B) {
			r := request("Content-Type: application/activity+json")
			r.Body = []byte(strings.Repeat("x", 4096))
			fields, err := signature.Sign(r, signature.Signer{KeyID: keyID, Key: rsaKey(), Scheme: scheme}, now)
			if err != nil {
				b.Fatal(err)
			}
			r.Header = append(r.Header, fields...)
			b.ReportAllocs()
			for b.Loop() {
				if err := verdict(r, rsaKey().Public()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
