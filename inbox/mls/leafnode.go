package mls

import "encoding/binary"

// LeafSource says how a leaf came into its tree (RFC 9420 §7.2).
type LeafSource uint8

// The sources of RFC 9420 §7.2.
const (
	SourceKeyPackage LeafSource = 1 // published beforehand; has a Lifetime
	SourceUpdate     LeafSource = 2 // an Update proposal
	SourceCommit     LeafSource = 3 // the path of a Commit; has a ParentHash
)

// LeafNode is a client's place in a group's tree (RFC 9420 §7.2).
type LeafNode struct {
	EncryptionKey []byte
	SignatureKey  []byte
	Credential    Credential
	Capabilities  Capabilities
	Source        LeafSource
	Lifetime      Lifetime // with SourceKeyPackage
	ParentHash    []byte   // with SourceCommit
	Extensions    List[Extension]
	Signature     []byte

	signed []byte // the bytes before Signature
}

// Lifetime is when a published leaf may be used: seconds since 1970, both ends included
// (RFC 9420 §7.2).
type Lifetime struct{ NotBefore, NotAfter uint64 }

func (LeafNode) decode(r *reader) (n LeafNode) {
	start := r.rest
	n.EncryptionKey = r.vector("leaf_node.encryption_key")
	n.SignatureKey = r.vector("leaf_node.signature_key")
	n.Credential = n.Credential.decode(r)
	n.Capabilities = n.Capabilities.decode(r)
	n.decodeSource(r)
	n.Extensions = readList[Extension](r, "leaf_node.extensions")
	n.signed = start[:len(start)-len(r.rest)]
	n.Signature = r.vector("leaf_node.signature")
	return n
}

func (n *LeafNode) decodeSource(r *reader) {
	n.Source = LeafSource(r.uint8("leaf_node.leaf_node_source"))
	switch n.Source {
	case SourceKeyPackage:
		n.Lifetime.NotBefore = r.uint64("leaf_node.lifetime.not_before")
		n.Lifetime.NotAfter = r.uint64("leaf_node.lifetime.not_after")
	case SourceUpdate:
	case SourceCommit:
		n.ParentHash = r.vector("leaf_node.parent_hash")
	default:
		r.failValue("leaf_node.leaf_node_source", uint16(n.Source))
	}
}

func (n LeafNode) appendTo(dst []byte) []byte {
	dst = appendVector(dst, n.EncryptionKey)
	dst = appendVector(dst, n.SignatureKey)
	dst = n.Credential.appendTo(dst)
	dst = n.Capabilities.appendTo(dst)
	dst = append(dst, byte(n.Source))
	switch n.Source {
	case SourceKeyPackage:
		dst = binary.BigEndian.AppendUint64(dst, n.Lifetime.NotBefore)
		dst = binary.BigEndian.AppendUint64(dst, n.Lifetime.NotAfter)
	case SourceCommit:
		dst = appendVector(dst, n.ParentHash)
	case SourceUpdate:
	}
	dst = n.Extensions.appendTo(dst)
	return appendVector(dst, n.Signature)
}

// Capabilities is what a client says it understands (RFC 9420 §7.2). Values nobody knows,
// GREASE among them, are kept and mean nothing.
type Capabilities struct {
	Versions, Suites, Extensions, Proposals, Credentials Numbers
}

func (Capabilities) decode(r *reader) (c Capabilities) {
	c.Versions = readNumbers(r, "capabilities.versions")
	c.Suites = readNumbers(r, "capabilities.cipher_suites")
	c.Extensions = readNumbers(r, "capabilities.extensions")
	c.Proposals = readNumbers(r, "capabilities.proposals")
	c.Credentials = readNumbers(r, "capabilities.credentials")
	return c
}

func (c Capabilities) appendTo(dst []byte) []byte {
	for _, n := range [...]Numbers{c.Versions, c.Suites, c.Extensions, c.Proposals, c.Credentials} {
		dst = n.appendTo(dst)
	}
	return dst
}

// Extension is one extension, its data opaque (RFC 9420 §7.2).
type Extension struct {
	Type uint16
	Data []byte
}

func (Extension) decode(r *reader) (e Extension) {
	e.Type = r.uint16("extension_type")
	e.Data = r.vector("extension_data")
	return e
}

func (e Extension) appendTo(dst []byte) []byte {
	return appendVector(appendUint16(dst, e.Type), e.Data)
}
