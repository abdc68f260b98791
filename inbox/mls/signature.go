package mls

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha512"
	"errors"
	"fmt"
	"math/big"

	ciscomls "github.com/cisco/go-mls"
	"github.com/cloudflare/circl/sign/ed448"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

var (
	// ErrSignatureKey says that a signature key is not a key of the suite: wrong length, or
	// not a point of the curve.
	ErrSignatureKey = errors.New("mls: signature key does not fit the cipher suite")
	// ErrSignature says that a signature does not verify, or is not in its one encoding:
	// RFC 8032 for Ed25519 and Ed448, DER without anything after it for ECDSA (RFC 9420 §5.1.1).
	ErrSignature = errors.New("mls: signature does not verify")
)

// VerifyWithLabel checks a signature made by SignWithLabel (RFC 9420 §5.1.2) with the suite's
// scheme. It fails with ErrSignatureKey, ErrSignature or ErrUnknownSuite, whatever the bytes.
func (s Suite) VerifyWithLabel(key []byte, label string, content, signature []byte) error {
	key, err := s.signatureKey(key)
	if err != nil {
		return err
	}
	if !s.verify(key, signContent(label, content), signature) {
		return ErrSignature
	}
	return nil
}

func signContent(label string, content []byte) []byte {
	label = "MLS 1.0 " + label
	b := make([]byte, 0, len(label)+len(content)+8)
	return appendVector(appendVector(b, []byte(label)), content)
}

// signatureKey gives key in the form the schemes take. It comes before every verification
// because go-mls panics on an Ed25519 key of the wrong length and on a point that is not on
// its curve.
func (s Suite) signatureKey(key []byte) ([]byte, error) {
	switch s {
	case X25519Aes128Ed25519, X25519ChachaEd25519:
		return ofLength(key, ed25519.PublicKeySize)
	case X448Aes256Ed448, X448ChachaEd448:
		return ofLength(key, ed448.PublicKeySize)
	case P256Aes128:
		return uncompressed(elliptic.P256(), key)
	case P384Aes256:
		return uncompressed(elliptic.P384(), key)
	case P521Aes256:
		return uncompressed(elliptic.P521(), key)
	default:
		return nil, fmt.Errorf("%w %s", ErrUnknownSuite, s)
	}
}

func ofLength(key []byte, want int) ([]byte, error) {
	if len(key) != want {
		return nil, fmt.Errorf("%w: %d bytes, not %d", ErrSignatureKey, len(key), want)
	}
	return key, nil
}

// uncompressed gives the point in the one form of RFC 9420 §5.1.1. The compressed form is
// read too: ts-mls 1.6.4 writes its keys so, and its peers verify them.
func uncompressed(curve elliptic.Curve, key []byte) ([]byte, error) {
	if x, y := elliptic.UnmarshalCompressed(curve, key); x != nil {
		size := (curve.Params().BitSize + 7) / 8
		point := make([]byte, 1+2*size)
		point[0] = 4
		x.FillBytes(point[1 : 1+size])
		y.FillBytes(point[1+size:])
		return point, nil
	}
	if _, err := ecdsa.ParseUncompressedPublicKey(curve, key); err != nil {
		return nil, fmt.Errorf("%w: not a point of %s", ErrSignatureKey, curve.Params().Name)
	}
	return key, nil
}

// verify expects a key that signatureKey gave.
func (s Suite) verify(key, content, signature []byte) bool {
	switch s {
	case X25519Aes128Ed25519, X25519ChachaEd25519:
		return s.verifyCisco(key, content, signature)
	case P256Aes128, P521Aes256:
		return isStrictDER(signature) && s.verifyCisco(key, content, signature)
	case P384Aes256:
		return verifyP384(key, content, signature)
	case X448Aes256Ed448, X448ChachaEd448:
		return ed448.Verify(key, content, signature, "")
	default:
		return false
	}
}

func (s Suite) verifyCisco(key, content, signature []byte) bool {
	public := ciscomls.SignaturePublicKey{Data: key}
	return ciscomls.CipherSuite(s).Scheme().Verify(&public, content, signature)
}

func verifyP384(key, content, signature []byte) bool {
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P384(), key)
	if err != nil {
		return false
	}
	sum := sha512.Sum384(content)
	return ecdsa.VerifyASN1(public, sum[:], signature)
}

// isStrictDER tells whether signature is an ECDSA-Sig-Value in DER and nothing else: go-mls
// ignores what comes after it and inside it, so that a package could be changed at will
// without breaking its signature. 139 bytes is the longest of P-521.
func isStrictDER(signature []byte) bool {
	if len(signature) > 139 {
		return false
	}
	s := cryptobyte.String(signature)
	var inner cryptobyte.String
	r, t := new(big.Int), new(big.Int)
	return s.ReadASN1(&inner, asn1.SEQUENCE) && s.Empty() &&
		inner.ReadASN1Integer(r) && inner.ReadASN1Integer(t) && inner.Empty()
}
