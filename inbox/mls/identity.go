package mls

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// checkCredential holds the leaf to its owner (RFC 9420 §5.3.1): in ActivityPub the name is
// the actor's id.
func (k *KeyPackage) checkCredential(o CheckOptions) error {
	if k.Leaf.Credential.Type == CredentialX509 {
		return k.Leaf.checkCertificate(o)
	}
	if named := k.Leaf.Credential.Identity; string(named) != o.Identity {
		return fmt.Errorf("%w: %s, not %q", ErrIdentity, quote(named), o.Identity)
	}
	return nil
}

// checkCertificate asks of the first certificate that it holds the signature key (RFC 9420
// §5.3) and names the actor as a URI. Who issued it is not asked: the gateway has no roots,
// and knows the publisher by their session; peers judge the chain by their own.
func (n *LeafNode) checkCertificate(o CheckOptions) error {
	der, ok := n.Credential.Certificates.first()
	if !ok {
		return fmt.Errorf("%w: the chain is empty", ErrCertificate)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	if o.Now.Before(c.NotBefore) || o.Now.After(c.NotAfter) {
		return fmt.Errorf("%w: it is valid from %s to %s", ErrCertificate, c.NotBefore, c.NotAfter)
	}
	if key, err := subjectKey(c); err != nil || !bytes.Equal(key, n.SignatureKey) {
		return fmt.Errorf("%w: it holds another key", ErrCertificate)
	}
	if !slices.ContainsFunc(c.URIs, func(u *url.URL) bool { return u.String() == o.Identity }) {
		return fmt.Errorf("%w: the certificate's URIs do not include %q", ErrIdentity, o.Identity)
	}
	return nil
}

// subjectKey is the subjectPublicKey of c, whose bits are just what an MLS signature key is:
// raw for the Edwards curves, an uncompressed point for ECDSA (RFC 9420 §5.1.1).
func subjectKey(c *x509.Certificate) ([]byte, error) {
	s := cryptobyte.String(c.RawSubjectPublicKeyInfo)
	var info cryptobyte.String
	var key []byte
	if !s.ReadASN1(&info, asn1.SEQUENCE) || !info.SkipASN1(asn1.SEQUENCE) || !info.ReadASN1BitStringAsBytes(&key) {
		return nil, errors.New("read the subject's public key")
	}
	return key, nil
}

// quote makes foreign bytes fit for an error, however many they are.
func quote(b []byte) string {
	const most = 256
	if len(b) > most {
		return fmt.Sprintf("%q… (%d bytes)", b[:most], len(b))
	}
	return fmt.Sprintf("%q", b)
}
