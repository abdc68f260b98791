package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math/big"
)

// The algorithms of RFC 9421 §3.3. There is no HMAC: nobody shares a secret
// with us.
const (
	rsaPKCS1  = "rsa-v1_5-sha256"
	rsaPSS    = "rsa-pss-sha512"
	ecdsaP256 = "ecdsa-p256-sha256"
	ecdsaP384 = "ecdsa-p384-sha384"
	edDSA     = "ed25519"
)

func knownAlgorithm(alg string) bool {
	switch alg {
	case rsaPKCS1, rsaPSS, ecdsaP256, ecdsaP384, edDSA:
		return true
	default:
		return false
	}
}

// verifyBase checks a signature base. An algorithm that was not named is the
// key's usual one; for RSA that is PKCS #1 v1.5 everywhere in the fediverse,
// and PSS in the RFC's own examples, so both are tried.
func verifyBase(alg string, key crypto.PublicKey, base, value []byte) error {
	ok := false
	switch k := key.(type) {
	case *rsa.PublicKey:
		ok = verifyRSA(alg, k, base, value)
	case ed25519.PublicKey:
		ok = (alg == "" || alg == edDSA) && len(k) == ed25519.PublicKeySize && ed25519.Verify(k, base, value)
	case *ecdsa.PublicKey:
		ok = verifyECDSA(alg, k, base, value)
	}
	if !ok {
		return fmt.Errorf("%w: alg %q, key of type %T", ErrMismatch, alg, key)
	}
	return nil
}

func verifyRSA(alg string, k *rsa.PublicKey, base, value []byte) bool {
	if alg == "" || alg == rsaPKCS1 {
		digest := sha256.Sum256(base)
		if rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], value) == nil {
			return true
		}
	}
	if alg == "" || alg == rsaPSS {
		digest := sha512.Sum512(base)
		return rsa.VerifyPSS(k, crypto.SHA512, digest[:], value, nil) == nil
	}
	return false
}

// verifyECDSA reads r and s as two numbers of fixed size (§3.3.4, §3.3.5).
func verifyECDSA(alg string, k *ecdsa.PublicKey, base, value []byte) bool {
	var digest []byte
	switch {
	case k.Curve == elliptic.P256() && (alg == "" || alg == ecdsaP256) && len(value) == 64:
		d := sha256.Sum256(base)
		digest = d[:]
	case k.Curve == elliptic.P384() && (alg == "" || alg == ecdsaP384) && len(value) == 96:
		d := sha512.Sum384(base)
		digest = d[:]
	default:
		return false
	}
	half := len(value) / 2
	r, s := new(big.Int).SetBytes(value[:half]), new(big.Int).SetBytes(value[half:])
	return ecdsa.Verify(k, digest, r, s)
}
