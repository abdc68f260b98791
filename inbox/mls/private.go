package mls

import "encoding/binary"

// ContentType is what a framed content carries (RFC 9420 §6).
type ContentType uint8

// The contents of RFC 9420 §6.
const (
	ContentApplication ContentType = 1
	ContentProposal    ContentType = 2
	ContentCommit      ContentType = 3
)

func readContentType(r *reader) ContentType {
	c := ContentType(r.uint8("content_type"))
	if r.err == nil && (c < ContentApplication || c > ContentCommit) {
		r.failValue("content_type", uint16(c))
	}
	return c
}

// PrivateMessage is a message of a group, encrypted to it (RFC 9420 §6.3).
type PrivateMessage struct {
	GroupID             []byte
	Epoch               uint64
	ContentType         ContentType
	AuthenticatedData   []byte
	EncryptedSenderData []byte
	Ciphertext          []byte
}

func (PrivateMessage) decode(r *reader) (m PrivateMessage) {
	m.GroupID = r.vector("private_message.group_id")
	m.Epoch = r.uint64("private_message.epoch")
	m.ContentType = readContentType(r)
	m.AuthenticatedData = r.vector("private_message.authenticated_data")
	m.EncryptedSenderData = r.vector("private_message.encrypted_sender_data")
	m.Ciphertext = r.vector("private_message.ciphertext")
	return m
}

func (m PrivateMessage) appendTo(dst []byte) []byte {
	dst = appendVector(dst, m.GroupID)
	dst = binary.BigEndian.AppendUint64(dst, m.Epoch)
	dst = append(dst, byte(m.ContentType))
	dst = appendVector(dst, m.AuthenticatedData)
	dst = appendVector(dst, m.EncryptedSenderData)
	return appendVector(dst, m.Ciphertext)
}
