package mls

import (
	"encoding/binary"
	"errors"
)

// structure is what the tests read apart from a whole message.
type structure interface {
	appendTo(dst []byte) []byte
}

// Recode reads b as the structure the official vectors call name, and writes it again.
func Recode(name string, b []byte) ([]byte, error) {
	r := newReader(b)
	s := readNamed(name, &r)
	if s == nil {
		return nil, errors.New("no such structure: " + name)
	}
	if err := r.finish(name); err != nil {
		return nil, err
	}
	return s.appendTo(nil), nil
}

func readNamed(name string, r *reader) structure {
	proposals := map[string]ProposalType{
		"add_proposal":                      ProposalAdd,
		"update_proposal":                   ProposalUpdate,
		"remove_proposal":                   ProposalRemove,
		"pre_shared_key_proposal":           ProposalPreSharedKey,
		"re_init_proposal":                  ProposalReInit,
		"external_init_proposal":            ProposalExternalInit,
		"group_context_extensions_proposal": ProposalGroupContextExtensions,
	}
	if t, ok := proposals[name]; ok {
		p := &proposalBody{Proposal{Type: t}}
		p.decodeBody(r)
		return p
	}
	switch name {
	case "commit":
		return Commit{}.decode(r)
	case "ratchet_tree":
		return readList[treeNode](r, name)
	case "group_secrets":
		return groupSecrets{}.decode(r)
	}
	return nil
}

// VectorHeader reads the header of a vector that holds length bytes, and writes it again.
func VectorHeader(header []byte, length int) (int, []byte, error) {
	r := newReader(header)
	n, _ := r.length("vector")
	return n, appendLength(nil, length), r.finish("vector")
}

type proposalBody struct{ Proposal }

func (p *proposalBody) appendTo(dst []byte) []byte { return p.appendBody(dst) }

// groupSecrets is what a Welcome encrypts to each member (RFC 9420 §12.4.3.1), treeNode a place
// in a ratchet tree (§7.8). A gateway has no use for them, so that their code lives here.
type groupSecrets struct {
	joiner  []byte
	hasPath bool
	path    []byte
	psks    List[PreSharedKeyID]
}

func (groupSecrets) decode(r *reader) (s groupSecrets) {
	s.joiner = r.vector("joiner_secret")
	if s.hasPath = r.present("path_secret"); s.hasPath {
		s.path = r.vector("path_secret")
	}
	s.psks = readList[PreSharedKeyID](r, "psks")
	return s
}

func (s groupSecrets) appendTo(dst []byte) []byte {
	dst = appendVector(dst, s.joiner)
	if s.hasPath {
		dst = appendVector(append(dst, 1), s.path)
	} else {
		dst = append(dst, 0)
	}
	return s.psks.appendTo(dst)
}

type treeNode struct {
	present, parent           bool
	leaf                      LeafNode
	encryptionKey, parentHash []byte
	unmerged                  List[leafIndex]
}

func (treeNode) decode(r *reader) (n treeNode) {
	if n.present = r.present("node"); !n.present {
		return n
	}
	switch kind := r.uint8("node_type"); kind {
	case 1:
		n.leaf = n.leaf.decode(r)
	case 2:
		n.parent = true
		n.encryptionKey, n.parentHash = r.vector("encryption_key"), r.vector("parent_hash")
		n.unmerged = readList[leafIndex](r, "unmerged_leaves")
	default:
		r.failValue("node_type", uint16(kind))
	}
	return n
}

func (n treeNode) appendTo(dst []byte) []byte {
	switch {
	case !n.present:
		return append(dst, 0)
	case !n.parent:
		return n.leaf.appendTo(append(dst, 1, 1))
	}
	dst = appendVector(append(dst, 1, 2), n.encryptionKey)
	return n.unmerged.appendTo(appendVector(dst, n.parentHash))
}

type leafIndex uint32

func (leafIndex) decode(r *reader) leafIndex { return leafIndex(r.uint32("leaf_index")) }

func (i leafIndex) appendTo(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(dst, uint32(i))
}

// VerifySignatures checks both signatures and no other rule.
func (k *KeyPackage) VerifySignatures() error { return k.checkSignatures() }
