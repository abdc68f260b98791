package mls

import "encoding/binary"

// ProposalType is what a proposal proposes (RFC 9420 §12.1).
type ProposalType uint16

// The proposals of RFC 9420 §12.1. Others have no length of their own on the wire, so that a
// readable message with one cannot be read (§13.5 says it is rejected); inside a
// PrivateMessage they are ciphertext.
const (
	ProposalAdd                    ProposalType = 1
	ProposalUpdate                 ProposalType = 2
	ProposalRemove                 ProposalType = 3
	ProposalPreSharedKey           ProposalType = 4
	ProposalReInit                 ProposalType = 5
	ProposalExternalInit           ProposalType = 6
	ProposalGroupContextExtensions ProposalType = 7
)

// Proposal is a proposed change to a group (RFC 9420 §12.1). Type says which field is set.
type Proposal struct {
	Type                   ProposalType
	Add                    KeyPackage
	Update                 LeafNode
	Remove                 uint32 // leaf index
	PreSharedKey           PreSharedKeyID
	ReInit                 ReInit
	ExternalInit           []byte // kem_output
	GroupContextExtensions List[Extension]
}

// ReInit proposes to start the group anew (RFC 9420 §12.1.5). Its version may be one to come.
type ReInit struct {
	GroupID    []byte
	Version    uint16
	Suite      Suite
	Extensions List[Extension]
}

func (Proposal) decode(r *reader) (p Proposal) {
	p.Type = ProposalType(r.uint16("proposal.proposal_type"))
	p.decodeBody(r)
	return p
}

func (p *Proposal) decodeBody(r *reader) {
	switch p.Type {
	case ProposalAdd:
		p.Add = p.Add.decode(r)
	case ProposalUpdate:
		p.Update = p.Update.decode(r)
	case ProposalRemove:
		p.Remove = r.uint32("remove.removed")
	case ProposalPreSharedKey:
		p.PreSharedKey = p.PreSharedKey.decode(r)
	case ProposalReInit:
		p.ReInit = p.ReInit.decode(r)
	case ProposalExternalInit:
		p.ExternalInit = r.vector("external_init.kem_output")
	case ProposalGroupContextExtensions:
		p.GroupContextExtensions = readList[Extension](r, "group_context_extensions")
	default:
		r.failValue("proposal.proposal_type", uint16(p.Type))
	}
}

func (p Proposal) appendTo(dst []byte) []byte {
	return p.appendBody(appendUint16(dst, p.Type))
}

func (p *Proposal) appendBody(dst []byte) []byte {
	switch p.Type {
	case ProposalAdd:
		return p.Add.appendTo(dst)
	case ProposalUpdate:
		return p.Update.appendTo(dst)
	case ProposalRemove:
		return binary.BigEndian.AppendUint32(dst, p.Remove)
	case ProposalPreSharedKey:
		return p.PreSharedKey.appendTo(dst)
	case ProposalReInit:
		return p.ReInit.appendTo(dst)
	case ProposalExternalInit:
		return appendVector(dst, p.ExternalInit)
	default:
		return p.GroupContextExtensions.appendTo(dst)
	}
}

func (ReInit) decode(r *reader) (i ReInit) {
	i.GroupID = r.vector("re_init.group_id")
	i.Version = r.uint16("re_init.version")
	i.Suite = Suite(r.uint16("re_init.cipher_suite"))
	i.Extensions = readList[Extension](r, "re_init.extensions")
	return i
}

func (i ReInit) appendTo(dst []byte) []byte {
	dst = appendVector(dst, i.GroupID)
	dst = appendUint16(dst, i.Version)
	dst = appendUint16(dst, i.Suite)
	return i.Extensions.appendTo(dst)
}
