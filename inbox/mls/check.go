package mls

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// What Check can find wrong, one sentinel for every rule.
var (
	ErrSource             = errors.New("mls: leaf is not one of a key package")
	ErrKey                = errors.New("mls: public key does not fit the cipher suite")
	ErrSameKey            = errors.New("mls: init key and encryption key are the same")
	ErrDuplicateExtension = errors.New("mls: extension occurs twice")
	ErrCapabilities       = errors.New("mls: capabilities leave out what the package itself uses")
	ErrIdentity           = errors.New("mls: credential names somebody else")
	ErrCertificate        = errors.New("mls: certificate does not speak for the signature key")
	ErrLifetime           = errors.New("mls: lifetime is not acceptable")
	ErrNotYetValid        = errors.New("mls: lifetime has not begun")
	ErrExpired            = errors.New("mls: lifetime is over")
	ErrLeafSignature      = errors.New("mls: leaf signature is wrong")
	ErrPackageSignature   = errors.New("mls: key package signature is wrong")
)

// Verdict is what is known of a key package that broke no rule.
type Verdict string

// The verdicts.
const (
	Verified   Verdict = "verified"   // both signatures hold
	Unverified Verdict = "unverified" // the suite is unknown here: its keys and signatures were not looked at
)

// CheckOptions is what a key package is measured by.
type CheckOptions struct {
	Identity    string        // the actor's id, which the credential must name
	Now         time.Time     // must be within the lifetime
	MaxLifetime time.Duration // key_packages.max_lifetime; zero accepts none
}

// Check applies the rules for a published key package (RFC 9420 §7.2, §7.3, §10, §10.1) and
// gives the first that is broken, as an error that wraps its sentinel; the cheap ones come
// first. Whether the init key is new for its client only a directory can know.
//
// Two sentences are not enforced: that KeyPackage.extensions be listed in the capabilities
// (§10), because §13.4 and §13.5 have unknown ones ignored and clients do not list
// last_resort; and that default values not be listed (§7.2), which no receiver verifies.
func (k *KeyPackage) Check(o CheckOptions) (Verdict, error) {
	for _, rule := range []func() error{
		k.checkSource,
		k.checkKeys,
		k.checkExtensions,
		k.checkCapabilities,
		func() error { return k.checkCredential(o) },
		func() error { return k.Leaf.Lifetime.check(o) },
	} {
		if err := rule(); err != nil {
			return "", err
		}
	}
	if !k.Suite.Known() {
		return Unverified, nil
	}
	if err := k.checkSignatures(); err != nil {
		return "", err
	}
	return Verified, nil
}

func (k *KeyPackage) checkSource() error {
	if k.Leaf.Source != SourceKeyPackage {
		return fmt.Errorf("%w: leaf_node_source is %d, not 1", ErrSource, k.Leaf.Source)
	}
	return nil
}

func (k *KeyPackage) checkKeys() error {
	if bytes.Equal(k.InitKey, k.Leaf.EncryptionKey) {
		return ErrSameKey
	}
	if !k.Suite.Known() {
		return nil
	}
	if err := k.Suite.checkKEMKey(k.InitKey); err != nil {
		return fmt.Errorf("%w: init_key: %w", ErrKey, err)
	}
	if err := k.Suite.checkKEMKey(k.Leaf.EncryptionKey); err != nil {
		return fmt.Errorf("%w: encryption_key: %w", ErrKey, err)
	}
	_, err := k.Suite.signatureKey(k.Leaf.SignatureKey)
	return err
}

func (l Lifetime) check(o CheckOptions) error {
	if l.NotBefore > l.NotAfter {
		return fmt.Errorf("%w: it ends (%d) before it begins (%d)", ErrLifetime, l.NotAfter, l.NotBefore)
	}
	if longest := uint64(max(0, o.MaxLifetime/time.Second)); l.NotAfter-l.NotBefore > longest {
		return fmt.Errorf("%w: it lasts %d s, key_packages.max_lifetime allows %d", ErrLifetime, l.NotAfter-l.NotBefore, longest)
	}
	now := uint64(max(0, o.Now.Unix()))
	if now < l.NotBefore {
		return fmt.Errorf("%w: it begins in %d s; is the device's clock right?", ErrNotYetValid, l.NotBefore-now)
	}
	if now > l.NotAfter {
		return fmt.Errorf("%w: it ended %d s ago", ErrExpired, now-l.NotAfter)
	}
	return nil
}

func (k *KeyPackage) checkSignatures() error {
	key := k.Leaf.SignatureKey
	if err := k.Suite.VerifyWithLabel(key, "LeafNodeTBS", k.Leaf.signed, k.Leaf.Signature); err != nil {
		return fmt.Errorf("%w: %w", ErrLeafSignature, err)
	}
	if err := k.Suite.VerifyWithLabel(key, "KeyPackageTBS", k.signed, k.Signature); err != nil {
		return fmt.Errorf("%w: %w", ErrPackageSignature, err)
	}
	return nil
}
