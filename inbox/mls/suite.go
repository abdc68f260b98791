package mls

import (
	"crypto/ecdh"
	"crypto/sha512"
	"errors"
	"fmt"

	ciscomls "github.com/cisco/go-mls"
)

// ErrUnknownSuite says that a cipher suite is none of RFC 9420's seven, so that its hash and
// its signatures cannot be computed here.
var ErrUnknownSuite = errors.New("mls: unknown cipher suite")

// Suite is a cipher suite (RFC 9420 §17.1).
type Suite uint16

// The cipher suites of RFC 9420 §17.1.
const (
	X25519Aes128Ed25519 Suite = 1
	P256Aes128          Suite = 2
	X25519ChachaEd25519 Suite = 3
	X448Aes256Ed448     Suite = 4
	P521Aes256          Suite = 5
	X448ChachaEd448     Suite = 6
	P384Aes256          Suite = 7
)

// Known tells whether s is one of the seven suites whose signatures can be verified here.
func (s Suite) Known() bool { return s >= X25519Aes128Ed25519 && s <= P384Aes256 }

// String gives the IANA name of s, or its value in hexadecimal when RFC 9420 names none.
func (s Suite) String() string {
	switch s {
	case X25519Aes128Ed25519:
		return "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519"
	case P256Aes128:
		return "MLS_128_DHKEMP256_AES128GCM_SHA256_P256"
	case X25519ChachaEd25519:
		return "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519"
	case X448Aes256Ed448:
		return "MLS_256_DHKEMX448_AES256GCM_SHA512_Ed448"
	case P521Aes256:
		return "MLS_256_DHKEMP521_AES256GCM_SHA512_P521"
	case X448ChachaEd448:
		return "MLS_256_DHKEMX448_CHACHA20POLY1305_SHA512_Ed448"
	case P384Aes256:
		return "MLS_256_DHKEMP384_AES256GCM_SHA384_P384"
	default:
		return fmt.Sprintf("0x%04X", uint16(s))
	}
}

// kemKeySize is the size of a public key of the suite's KEM (RFC 9180 §7.1); 0 when unknown.
func (s Suite) kemKeySize() int {
	switch s {
	case X25519Aes128Ed25519, X25519ChachaEd25519:
		return 32
	case P256Aes128:
		return 65
	case X448Aes256Ed448, X448ChachaEd448:
		return 56
	case P521Aes256:
		return 133
	case P384Aes256:
		return 97
	default:
		return 0
	}
}

// checkKEMKey says why key cannot be a public key of the suite's KEM. Of the curves X25519
// and X448 every string of the right length is one.
func (s Suite) checkKEMKey(key []byte) error {
	if size := s.kemKeySize(); len(key) != size {
		return fmt.Errorf("%d bytes, not the %d of the suite", len(key), size)
	}
	var err error
	switch s {
	case P256Aes128:
		_, err = ecdh.P256().NewPublicKey(key)
	case P384Aes256:
		_, err = ecdh.P384().NewPublicKey(key)
	case P521Aes256:
		_, err = ecdh.P521().NewPublicKey(key)
	default:
	}
	return err
}

// digest is the suite's hash (RFC 9420 §17.1).
func (s Suite) digest(data []byte) ([]byte, error) {
	switch s {
	case X25519Aes128Ed25519, P256Aes128, X25519ChachaEd25519, P521Aes256:
		return ciscomls.CipherSuite(s).Digest(data), nil
	case X448Aes256Ed448, X448ChachaEd448:
		sum := sha512.Sum512(data)
		return sum[:], nil
	case P384Aes256:
		sum := sha512.Sum384(data)
		return sum[:], nil
	default:
		return nil, fmt.Errorf("%w %s", ErrUnknownSuite, s)
	}
}

// RefHash names value under label (RFC 9420 §5.2). It fails with ErrUnknownSuite.
func (s Suite) RefHash(label string, value []byte) ([]byte, error) {
	return s.digest(appendVector(appendVector(nil, []byte(label)), value))
}

// Ref is the KeyPackageRef by which a Welcome names the package (RFC 9420 §5.2): a hash over
// the package without its frame. It fails with ErrUnknownSuite.
func (k *KeyPackage) Ref() ([]byte, error) {
	return k.Suite.RefHash("MLS 1.0 KeyPackage Reference", k.raw)
}

// SuiteName is the IANA name of the package's suite, or 0xNNNN when RFC 9420 names none.
func (k *KeyPackage) SuiteName() string { return k.Suite.String() }

// Encoding is the package as it came, without a frame. It borrows.
func (k *KeyPackage) Encoding() []byte { return k.raw }
