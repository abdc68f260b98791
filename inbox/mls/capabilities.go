package mls

import "fmt"

// set holds 16-bit identifiers. A package may list a third of a million of them, so that
// looking each up in another list would be quadratic in hostile hands.
type set [1 << 16 / 64]uint64

func (s *set) has(v uint16) bool { return s[v/64]&(1<<(v%64)) != 0 }

func (s *set) add(v uint16) { s[v/64] |= 1 << (v % 64) }

func (k *KeyPackage) checkExtensions() error {
	if err := checkOnce("key_package", k.Extensions); err != nil {
		return err
	}
	return checkOnce("leaf_node", k.Leaf.Extensions)
}

// checkOnce enforces RFC 9420 §13.4: no list has two extensions of a type.
func checkOnce(where string, extensions List[Extension]) error {
	var seen set
	for e := range extensions.All() {
		if seen.has(e.Type) {
			return fmt.Errorf("%w: 0x%04x in %s.extensions", ErrDuplicateExtension, e.Type, where)
		}
		seen.add(e.Type)
	}
	return nil
}

// checkCapabilities enforces RFC 9420 §7.2: a client lists all it supports, hence at least the
// version, suite, credential and leaf extensions this very package uses.
func (k *KeyPackage) checkCapabilities() error {
	c := k.Leaf.Capabilities
	switch {
	case !c.Versions.Contains(version10):
		return fmt.Errorf("%w: version mls10", ErrCapabilities)
	case !c.Suites.Contains(uint16(k.Suite)):
		return fmt.Errorf("%w: cipher suite %s", ErrCapabilities, k.Suite)
	case !c.Credentials.Contains(uint16(k.Leaf.Credential.Type)):
		return fmt.Errorf("%w: credential type %d", ErrCapabilities, k.Leaf.Credential.Type)
	}
	return k.Leaf.checkListed()
}

// checkListed enforces RFC 9420 §7.3 for the extensions of a leaf. The first five types are
// default and need no listing (§7.2).
func (n *LeafNode) checkListed() error {
	const lastDefault = 5
	var listed set
	for t := range n.Capabilities.Extensions.All() {
		listed.add(t)
	}
	for e := range n.Extensions.All() {
		isDefault := e.Type >= 1 && e.Type <= lastDefault
		if !isDefault && !listed.has(e.Type) {
			return fmt.Errorf("%w: leaf extension 0x%04x", ErrCapabilities, e.Type)
		}
	}
	return nil
}
