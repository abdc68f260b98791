package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"math/big"
	"time"

	"github.com/dunglas/httpsfv"
)

// signMessage covers @method, @target-uri and content-digest, which is what
// Mastodon asks for.
func signMessage(r *Request, s Signer, now time.Time) ([]Field, error) {
	var add []Field
	covered := []string{"@method", "@target-uri"}
	if r.needsDigest() {
		covered = append(covered, "content-digest")
		if !r.has("content-digest") {
			d := sha256.Sum256(r.Body)
			add = append(add, Field{"Content-Digest", "sha-256=:" + base64.StdEncoding.EncodeToString(d[:]) + ":"})
		}
	}
	if s.Covered != nil {
		covered = s.Covered
	}
	list, err := signatureInput(s, covered, now)
	if err != nil {
		return nil, err
	}
	base, err := signatureBase(r.with(add), covered, list)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	value, err := signBytes(s.Key, base)
	if err != nil {
		return nil, err
	}
	if value, err = fixedSize(s.Key.Public(), value); err != nil {
		return nil, err
	}
	input, err := httpsfv.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return append(add,
		Field{"Signature-Input", "sig1=" + input},
		Field{"Signature", "sig1=:" + base64.StdEncoding.EncodeToString(value) + ":"}), nil
}

// signatureInput is the list of components with its parameters (§2.3).
func signatureInput(s Signer, covered []string, now time.Time) (httpsfv.InnerList, error) {
	list := httpsfv.InnerList{Params: httpsfv.NewParams()}
	for _, name := range covered {
		list.Items = append(list.Items, httpsfv.NewItem(name))
	}
	list.Params.Add("created", now.Unix())
	list.Params.Add("keyid", s.KeyID)
	alg, err := messageAlgorithm(s.Key.Public())
	if err != nil {
		return list, err
	}
	list.Params.Add("alg", alg)
	return list, nil
}

func messageAlgorithm(key crypto.PublicKey) (string, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return rsaPKCS1, nil
	case ed25519.PublicKey:
		return edDSA, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return ecdsaP256, nil
		}
	}
	return "", fmt.Errorf("sign: no algorithm for a key of type %T", key)
}

// fixedSize turns the ASN.1 of an ECDSA signature into r ‖ s (§3.3.4).
func fixedSize(key crypto.PublicKey, value []byte) ([]byte, error) {
	if _, ok := key.(*ecdsa.PublicKey); !ok {
		return value, nil
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(value, &pair); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	out := make([]byte, 64)
	pair.R.FillBytes(out[:32])
	pair.S.FillBytes(out[32:])
	return out, nil
}
