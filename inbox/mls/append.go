package mls

import "encoding/binary"

func appendLength(dst []byte, n int) []byte {
	switch sizeOfLength(n) {
	case 1:
		return append(dst, byte(n))
	case 2:
		return binary.BigEndian.AppendUint16(dst, uint16(n)|1<<14)
	}
	if n >= 1<<30 {
		panic("bug: a vector longer than RFC 9420 §2.1.2 can express")
	}
	return binary.BigEndian.AppendUint32(dst, uint32(n)|2<<30)
}

func appendVector(dst, v []byte) []byte {
	return append(appendLength(dst, len(v)), v...)
}

func appendUint16[T ~uint16](dst []byte, v T) []byte {
	return binary.BigEndian.AppendUint16(dst, uint16(v))
}
