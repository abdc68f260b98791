package mls

import "encoding/binary"

// PSKType says where a pre-shared key comes from (RFC 9420 §8.4).
type PSKType uint8

// The pre-shared keys of RFC 9420 §8.4.
const (
	PSKExternal   PSKType = 1
	PSKResumption PSKType = 2
)

// PreSharedKeyID names a pre-shared key (RFC 9420 §8.4). It is not the key.
type PreSharedKeyID struct {
	Type    PSKType
	ID      []byte // with PSKExternal
	Usage   uint8  // with PSKResumption: 1 application, 2 reinit, 3 branch
	GroupID []byte // with PSKResumption
	Epoch   uint64 // with PSKResumption
	Nonce   []byte
}

func (PreSharedKeyID) decode(r *reader) (p PreSharedKeyID) {
	p.Type = PSKType(r.uint8("psk.psktype"))
	switch p.Type {
	case PSKExternal:
		p.ID = r.vector("psk.psk_id")
	case PSKResumption:
		p.decodeResumption(r)
	default:
		r.failValue("psk.psktype", uint16(p.Type))
	}
	p.Nonce = r.vector("psk.psk_nonce")
	return p
}

func (p *PreSharedKeyID) decodeResumption(r *reader) {
	p.Usage = r.uint8("psk.usage")
	if r.err == nil && (p.Usage < 1 || p.Usage > 3) {
		r.failValue("psk.usage", uint16(p.Usage))
	}
	p.GroupID = r.vector("psk.psk_group_id")
	p.Epoch = r.uint64("psk.psk_epoch")
}

func (p PreSharedKeyID) appendTo(dst []byte) []byte {
	dst = append(dst, byte(p.Type))
	if p.Type == PSKExternal {
		dst = appendVector(dst, p.ID)
	} else {
		dst = appendVector(append(dst, p.Usage), p.GroupID)
		dst = binary.BigEndian.AppendUint64(dst, p.Epoch)
	}
	return appendVector(dst, p.Nonce)
}
