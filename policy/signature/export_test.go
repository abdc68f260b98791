package signature

import (
	"crypto"

	"github.com/dunglas/httpsfv"
)

// The examples of both specifications cover less than our rules ask for, so
// their tests reach below the rules.

// Base is the signature base of the labelled signature of r, and its value.
func Base(r *Request, label string) (base, value []byte, err error) {
	inputs, err := dictionary(r, "signature-input")
	if err != nil {
		return nil, nil, err
	}
	values, err := dictionary(r, "signature")
	if err != nil {
		return nil, nil, err
	}
	m, _ := inputs.Get(label)
	list, _ := m.(httpsfv.InnerList)
	var s Signature
	if err := s.readComponents(list.Items); err != nil {
		return nil, nil, err
	}
	m, _ = values.Get(label)
	item, _ := m.(httpsfv.Item)
	value, _ = item.Value.([]byte)
	base, err = signatureBase(r, s.Covered, list)
	return base, value, err
}

// VerifyBase is verification below the rules.
func VerifyBase(alg string, key crypto.PublicKey, base, value []byte) error {
	return verifyBase(alg, key, base, value)
}

// VerifyCavage is verification of a Signature header below the rules.
func VerifyCavage(r *Request, key crypto.PublicKey) error {
	text, err := cavageHeader(r)
	if err != nil {
		return err
	}
	p, err := readParams(text)
	if err != nil {
		return err
	}
	c := &cavage{r: r, p: p}
	if err := c.check(); err != nil {
		return err
	}
	return c.verify(key)
}
