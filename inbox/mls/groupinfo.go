package mls

import "encoding/binary"

// GroupInfo describes a group to who may join it from outside (RFC 9420 §12.4.3). Its
// signature is not checked here: the signer's key is in a tree the gateway need not have.
type GroupInfo struct {
	Context         GroupContext
	Extensions      List[Extension]
	ConfirmationTag []byte
	Signer          uint32 // leaf index
	Signature       []byte
}

// GroupContext is the state all members agree on (RFC 9420 §8.1).
type GroupContext struct {
	Suite                   Suite
	GroupID                 []byte
	Epoch                   uint64
	TreeHash                []byte
	ConfirmedTranscriptHash []byte
	Extensions              List[Extension]
}

func (GroupInfo) decode(r *reader) (g GroupInfo) {
	g.Context = g.Context.decode(r)
	g.Extensions = readList[Extension](r, "group_info.extensions")
	g.ConfirmationTag = r.vector("group_info.confirmation_tag")
	g.Signer = r.uint32("group_info.signer")
	g.Signature = r.vector("group_info.signature")
	return g
}

func (g GroupInfo) appendTo(dst []byte) []byte {
	dst = g.Context.appendTo(dst)
	dst = g.Extensions.appendTo(dst)
	dst = appendVector(dst, g.ConfirmationTag)
	dst = binary.BigEndian.AppendUint32(dst, g.Signer)
	return appendVector(dst, g.Signature)
}

func (GroupContext) decode(r *reader) (c GroupContext) {
	r.version("group_context.version")
	c.Suite = Suite(r.uint16("group_context.cipher_suite"))
	c.GroupID = r.vector("group_context.group_id")
	c.Epoch = r.uint64("group_context.epoch")
	c.TreeHash = r.vector("group_context.tree_hash")
	c.ConfirmedTranscriptHash = r.vector("group_context.confirmed_transcript_hash")
	c.Extensions = readList[Extension](r, "group_context.extensions")
	return c
}

func (c GroupContext) appendTo(dst []byte) []byte {
	dst = appendUint16(dst, uint16(version10))
	dst = appendUint16(dst, c.Suite)
	dst = appendVector(dst, c.GroupID)
	dst = binary.BigEndian.AppendUint64(dst, c.Epoch)
	dst = appendVector(dst, c.TreeHash)
	dst = appendVector(dst, c.ConfirmedTranscriptHash)
	return c.Extensions.appendTo(dst)
}
