package actorkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// Sizes of RSA keys: below, they can be forged; above, they make us compute.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// readPEM reads a public key in PKIX ("PUBLIC KEY") or PKCS #1 form.
func readPEM(s string) (crypto.PublicKey, error) {
	block, _ := pem.Decode([]byte(strings.TrimSpace(s)))
	if block == nil {
		return nil, errors.New("not PEM")
	}
	var key crypto.PublicKey
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	default:
		return nil, fmt.Errorf("PEM block %.40q", block.Type)
	}
	if err != nil {
		return nil, err
	}
	return key, checkMaterial(key)
}

// checkMaterial refuses keys that are weak, costly, or of a kind nobody uses.
func checkMaterial(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n < minRSABits || n > maxRSABits {
			return fmt.Errorf("RSA key of %d bits, %d to %d are accepted", n, minRSABits, maxRSABits)
		}
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() {
			return errors.New("elliptic curve other than P-256 and P-384")
		}
	default:
		return fmt.Errorf("key of type %T", key)
	}
	return nil
}

// readMultikey reads an Ed25519 Multikey (FEP-521a): base58btc of the multicodec
// 0xed01 and 32 bytes.
func readMultikey(s string) (crypto.PublicKey, error) {
	if !strings.HasPrefix(s, "z") || len(s) > 64 {
		return nil, errors.New("publicKeyMultibase is not a short base58btc value")
	}
	b, err := decodeBase58(s[1:])
	if err != nil {
		return nil, err
	}
	if len(b) != 2+ed25519.PublicKeySize || b[0] != 0xed || b[1] != 0x01 {
		return nil, errors.New("publicKeyMultibase is not an Ed25519 key")
	}
	return ed25519.PublicKey(b[2:]), nil
}

const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// decodeBase58 reads base58btc. The caller bounds the length: the cost grows
// with its square.
func decodeBase58(s string) ([]byte, error) {
	n, radix := new(big.Int), big.NewInt(int64(len(base58)))
	for i := range len(s) {
		d := strings.IndexByte(base58, s[i])
		if d < 0 {
			return nil, fmt.Errorf("%q is not a base58 digit", s[i])
		}
		n.Add(n.Mul(n, radix), big.NewInt(int64(d)))
	}
	zeros := len(s) - len(strings.TrimLeft(s, "1"))
	return append(make([]byte, zeros), n.Bytes()...), nil
}
