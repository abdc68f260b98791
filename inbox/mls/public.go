package mls

import "encoding/binary"

// PublicMessage is a message of a group, signed but readable (RFC 9420 §6.2): handshakes of
// groups that choose so, and of members who are not yet in.
type PublicMessage struct {
	GroupID           []byte
	Epoch             uint64
	Sender            Sender
	AuthenticatedData []byte
	ContentType       ContentType
	Application       []byte   // with ContentApplication
	Proposal          Proposal // with ContentProposal
	Commit            Commit   // with ContentCommit
	Signature         []byte
	ConfirmationTag   []byte // with ContentCommit
	MembershipTag     []byte // with SenderMember
}

// SenderType says from where in a group a message comes (RFC 9420 §6).
type SenderType uint8

// The senders of RFC 9420 §6.
const (
	SenderMember            SenderType = 1
	SenderExternal          SenderType = 2
	SenderNewMemberProposal SenderType = 3
	SenderNewMemberCommit   SenderType = 4
)

// Sender is who sent a framed content (RFC 9420 §6).
type Sender struct {
	Type  SenderType
	Index uint32 // of the leaf with SenderMember, in external_senders with SenderExternal
}

func (PublicMessage) decode(r *reader) (m PublicMessage) {
	m.GroupID = r.vector("public_message.group_id")
	m.Epoch = r.uint64("public_message.epoch")
	m.Sender = m.Sender.decode(r)
	m.AuthenticatedData = r.vector("public_message.authenticated_data")
	m.ContentType = readContentType(r)
	switch m.ContentType {
	case ContentApplication:
		m.Application = r.vector("public_message.application_data")
	case ContentProposal:
		m.Proposal = m.Proposal.decode(r)
	case ContentCommit:
		m.Commit = m.Commit.decode(r)
	}
	m.decodeAuth(r)
	return m
}

func (m *PublicMessage) decodeAuth(r *reader) {
	m.Signature = r.vector("public_message.signature")
	if m.ContentType == ContentCommit {
		m.ConfirmationTag = r.vector("public_message.confirmation_tag")
	}
	if m.Sender.Type == SenderMember {
		m.MembershipTag = r.vector("public_message.membership_tag")
	}
}

func (m *PublicMessage) appendTo(dst []byte) []byte {
	dst = appendVector(dst, m.GroupID)
	dst = binary.BigEndian.AppendUint64(dst, m.Epoch)
	dst = m.Sender.appendTo(dst)
	dst = appendVector(dst, m.AuthenticatedData)
	dst = append(dst, byte(m.ContentType))
	switch m.ContentType {
	case ContentApplication:
		dst = appendVector(dst, m.Application)
	case ContentProposal:
		dst = m.Proposal.appendTo(dst)
	case ContentCommit:
		dst = m.Commit.appendTo(dst)
	}
	return m.appendAuth(dst)
}

func (m *PublicMessage) appendAuth(dst []byte) []byte {
	dst = appendVector(dst, m.Signature)
	if m.ContentType == ContentCommit {
		dst = appendVector(dst, m.ConfirmationTag)
	}
	if m.Sender.Type == SenderMember {
		dst = appendVector(dst, m.MembershipTag)
	}
	return dst
}

func (Sender) decode(r *reader) (s Sender) {
	s.Type = SenderType(r.uint8("sender.sender_type"))
	switch s.Type {
	case SenderMember, SenderExternal:
		s.Index = r.uint32("sender.index")
	case SenderNewMemberProposal, SenderNewMemberCommit:
	default:
		r.failValue("sender.sender_type", uint16(s.Type))
	}
	return s
}

func (s Sender) appendTo(dst []byte) []byte {
	dst = append(dst, byte(s.Type))
	if s.Type == SenderMember || s.Type == SenderExternal {
		dst = binary.BigEndian.AppendUint32(dst, s.Index)
	}
	return dst
}
