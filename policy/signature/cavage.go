package signature

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-fed/httpsig"
)

// cavage is a draft-cavage signature on its way to a key.
type cavage struct {
	r      *Request
	p      params
	value  []byte
	header http.Header // the covered headers only
}

// parseCavage reads a Signature header (or Authorization: Signature) and checks
// what go-fed/httpsig leaves open.
func parseCavage(r *Request, rules Rules) (*Signature, error) {
	text, err := cavageHeader(r)
	if err != nil {
		return nil, err
	}
	p, err := readParams(text)
	if err != nil {
		return nil, err
	}
	c := &cavage{r: r, p: p}
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := c.judge(rules); err != nil {
		return nil, err
	}
	return &Signature{KeyID: p.keyID, Scheme: Cavage, Algorithm: p.algorithm, Covered: p.headers, cavage: c}, nil
}

// cavageHeader finds the one header that carries the parameters.
func cavageHeader(r *Request) (string, error) {
	text, n := r.one("signature")
	if n == 0 {
		auth, m := r.one("authorization")
		scheme, rest, _ := strings.Cut(auth, " ")
		if m == 0 || !strings.EqualFold(scheme, "signature") {
			return "", ErrUnsigned
		}
		text, n = rest, m
	}
	if n > 1 {
		return "", fmt.Errorf("%w: %d headers carry a signature", ErrMalformed, n)
	}
	if len(text) > maxHeaderBytes {
		return "", fmt.Errorf("%w: header of %d bytes, at most %d are accepted", ErrMalformed, len(text), maxHeaderBytes)
	}
	return text, nil
}

// check reads the parameters as a whole: that they make sense, and that what
// they cover is there.
func (c *cavage) check() (err error) {
	if err = checkKeyID(c.p.keyID); err != nil {
		return err
	}
	c.value, err = base64.StdEncoding.DecodeString(c.p.signature)
	if err != nil || len(c.value) == 0 {
		return fmt.Errorf("%w: the signature parameter is not base64", ErrMalformed)
	}
	if err = requireDistinct(c.p.headers); err != nil {
		return err
	}
	return c.collect()
}

// collect gathers the covered headers for the library.
func (c *cavage) collect() error {
	c.header = make(http.Header, len(c.p.headers)+1)
	for _, name := range c.p.headers {
		switch {
		case name == "(request-target)":
		case name == "(created)" && c.p.created != 0:
		case name == "(expires)" && c.p.expires != 0:
		case strings.ContainsAny(name, `",=\()`) || name == "signature" || name == "authorization":
			return fmt.Errorf("%w: %.40q is covered but absent or unknown", ErrMalformed, name)
		default:
			vs := c.r.values(name)
			if len(vs) == 0 {
				return fmt.Errorf("%w: header %.80q is covered but absent", ErrMalformed, name)
			}
			c.header[textproto.CanonicalMIMEHeaderKey(name)] = vs
		}
	}
	return nil
}

// judge applies the rules: coverage, host, dates, digest.
func (c *cavage) judge(rules Rules) error {
	need := []string{"(request-target)", "host"}
	if c.r.needsDigest() {
		need = append(need, "digest")
	}
	if !c.covers("(created)") {
		need = append(need, "date")
	}
	if err := requireAll(c.p.headers, need...); err != nil {
		return err
	}
	if err := rules.checkHost(c.r); err != nil {
		return err
	}
	if err := c.checkTimes(rules); err != nil {
		return err
	}
	if c.covers("digest") {
		return checkDigest(c.r)
	}
	return nil
}

func (c *cavage) checkTimes(rules Rules) error {
	if c.covers("date") {
		if err := rules.checkDate(c.r); err != nil {
			return err
		}
	}
	if c.p.created != 0 {
		if err := rules.checkTime("created", time.Unix(c.p.created, 0)); err != nil {
			return err
		}
	}
	if c.p.expires != 0 {
		return rules.checkExpiry(c.p.expires)
	}
	return nil
}

func (c *cavage) covers(name string) bool { return slices.Contains(c.p.headers, name) }

// verify tries the target with its query and, as some peers sign it, without.
func (c *cavage) verify(key crypto.PublicKey) error {
	err := c.verifyTarget(key, c.r.Target)
	if p := c.r.path(); err != nil && p != c.r.Target {
		err = c.verifyTarget(key, p)
	}
	return err
}

// verifyTarget hands one reading of the request to the library. Signatures over
// (created) and (expires) are ours to check: the library measures these by the
// machine's clock and refuses a skew of eleven seconds.
func (c *cavage) verifyTarget(key crypto.PublicKey, target string) error {
	if c.covers("(created)") || c.covers("(expires)") {
		return verifyCavageString(key, c.signingString(target), c.value)
	}
	alg, err := cavageAlgorithm(key)
	if err != nil {
		return err
	}
	// The library splits at every comma, so it gets a name for the key that has
	// none, and no parameter that is not signed. It appends r.URL.RawQuery only
	// when there is one: the raw target goes into the path whole.
	c.header["Signature"] = []string{`keyId="k",headers="` + strings.Join(c.p.headers, " ") + `",signature="` + c.p.signature + `"`}
	v, err := httpsig.NewVerifier(&http.Request{
		Method: c.r.Method, Host: c.r.Host, Header: c.header, URL: &url.URL{Path: target},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := v.Verify(key, alg); err != nil {
		return fmt.Errorf("%w: %w", ErrMismatch, err)
	}
	return nil
}

// cavageAlgorithm is what a key signs with. The algorithm parameter is absent,
// hs2019, rsa-sha256 or a lie; the key cannot be.
func cavageAlgorithm(key crypto.PublicKey) (httpsig.Algorithm, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return httpsig.RSA_SHA256, nil
	case *ecdsa.PublicKey:
		return httpsig.ECDSA_SHA256, nil
	case ed25519.PublicKey:
		if len(k) == ed25519.PublicKeySize { // the library would panic
			return httpsig.ED25519, nil
		}
	}
	return "", fmt.Errorf("%w: no algorithm for a key of type %T", ErrMismatch, key)
}
