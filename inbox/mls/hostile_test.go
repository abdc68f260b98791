package mls_test

import (
	"bytes"
	"crypto/elliptic"
	"errors"
	"math/big"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/sealgate/sealgate/inbox/mls"
)

// Keys on which a library could stumble. None may panic, none may pass.
func TestHostileSignatureKeys(t *testing.T) {
	for suite := mls.Suite(1); suite <= 7; suite++ {
		good := newDraft(t, suite).sigKey
		keys := map[string][]byte{
			"nil": nil, "empty": {}, "one zero": {0}, "point at infinity": append([]byte{0}, make([]byte, len(good)-1)...),
			"zeroes": make([]byte, len(good)), "ones": bytes.Repeat([]byte{0xff}, len(good)),
			"a byte too few": good[1:], "a byte too many": append(bytes.Clone(good), 0), "a mebibyte": make([]byte, 1<<20),
			"off the curve":       append([]byte{4}, bytes.Repeat([]byte{1}, len(good)-1)...),
			"hybrid form":         append([]byte{6}, good[1:]...),
			"compressed, too big": append([]byte{2}, bytes.Repeat([]byte{0xff}, (len(good)-1)/2)...),
		}
		for name, key := range keys {
			err := suite.VerifyWithLabel(key, "label", []byte("content"), make([]byte, 64))
			if !errors.Is(err, mls.ErrSignatureKey) && !errors.Is(err, mls.ErrSignature) {
				t.Errorf("suite %d, %s: %v", suite, name, err)
			}
			if len(key) != len(good) && !errors.Is(err, mls.ErrSignatureKey) {
				t.Errorf("suite %d, %s: %v, want a complaint about the key", suite, name, err)
			}
		}
	}
}

func TestHostileSignatures(t *testing.T) {
	huge := append([]byte{0x30, 0x82, 0xff, 0xff, 0x02, 0x82, 0xff, 0xfb}, bytes.Repeat([]byte{1}, 0xfffb)...)
	for suite := mls.Suite(1); suite <= 7; suite++ {
		d := newDraft(t, suite)
		for name, signature := range map[string][]byte{
			"nil": nil, "zeroes": make([]byte, 64), "114 zeroes": make([]byte, 114), "huge": huge,
			"r and s zero": der(0, 0), "negative": der(-1, 1), "empty sequence": {0x30, 0}, "null": {5, 0},
		} {
			if err := suite.VerifyWithLabel(d.sigKey, "label", nil, signature); !errors.Is(err, mls.ErrSignature) {
				t.Errorf("suite %d, %s: %v", suite, name, err)
			}
		}
	}
}

// An ECDSA signature has one encoding: whoever relays a package cannot change its bytes.
func TestSignaturesAreStrictDER(t *testing.T) {
	for _, suite := range []mls.Suite{2, 5, 7} {
		for name, change := range map[string]func(r, s *big.Int) []byte{
			"bytes after it": func(r, s *big.Int) []byte { return append(sequence(r, s), 0) },
			"a third number": func(r, s *big.Int) []byte { return sequence(r, s, big.NewInt(1)) },
			"long length":    func(r, s *big.Int) []byte { b := sequence(r, s); return longForm(b) },
			"padded number":  paddedNumber,
		} {
			d := newDraft(t, suite)
			d.signature = func(b []byte) []byte {
				r, s := numbers(t, b)
				if !bytes.Equal(sequence(r, s), b) {
					t.Fatal("the test cannot read signatures")
				}
				return change(r, s)
			}
			if _, err := d.check(t); !errors.Is(err, mls.ErrPackageSignature) {
				t.Errorf("suite %d, %s: %v", suite, name, err)
			}
		}
	}
}

// Compressed keys, as ts-mls writes them, are read as the points they are.
func TestCompressedSignatureKeys(t *testing.T) {
	for suite, curve := range map[mls.Suite]elliptic.Curve{2: elliptic.P256(), 5: elliptic.P521(), 7: elliptic.P384()} {
		d := newDraft(t, suite)
		x, y := d.sigKey[1:1+len(d.sigKey)/2], d.sigKey[1+len(d.sigKey)/2:]
		d.sigKey = elliptic.MarshalCompressed(curve, new(big.Int).SetBytes(x), new(big.Int).SetBytes(y))
		if verdict, err := d.check(t); verdict != mls.Verified || err != nil {
			t.Errorf("suite %d: %q %v", suite, verdict, err)
		}
		d.sigKey[0] ^= 1 // the point with the other sign
		if _, err := d.check(t); !errors.Is(err, mls.ErrLeafSignature) {
			t.Errorf("suite %d, another point: %v", suite, err)
		}
	}
}

func sequence(numbers ...*big.Int) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, n := range numbers {
			b.AddASN1BigInt(n)
		}
	})
	return b.BytesOrPanic()
}

func der(r, s int64) []byte { return sequence(big.NewInt(r), big.NewInt(s)) }

func numbers(t *testing.T, signature []byte) (r, s *big.Int) {
	t.Helper()
	in, inner := cryptobyte.String(signature), cryptobyte.String(nil)
	r, s = new(big.Int), new(big.Int)
	if !in.ReadASN1(&inner, asn1.SEQUENCE) || !inner.ReadASN1Integer(r) || !inner.ReadASN1Integer(s) {
		t.Fatalf("no signature: %x", signature)
	}
	return r, s
}

// longForm writes the length of the sequence in more bytes than it needs.
func longForm(b []byte) []byte {
	body := b[2:]
	if b[1] == 0x81 {
		body = b[3:]
	}
	return append([]byte{0x30, 0x82, byte(len(body) >> 8), byte(len(body))}, body...)
}

// paddedNumber writes r with a zero too many in front.
func paddedNumber(r, s *big.Int) []byte {
	padded := append([]byte{0, 0}, r.Bytes()...)
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(padded) })
		b.AddASN1BigInt(s)
	})
	return b.BytesOrPanic()
}
