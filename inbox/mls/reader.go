package mls

import (
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// ErrMalformed is what every failure of Parse wraps: the bytes are not an MLS message of
// RFC 9420 in its only valid spelling. The sentence around it names the field and the offset.
var ErrMalformed = errors.New("mls: malformed message")

// reader takes TLS presentation language (RFC 9420 §2.1) apart. The first failure sticks:
// from then on every method returns zero values, so that a structure is read field after
// field and asked once.
type reader struct {
	rest cryptobyte.String
	end  int // the offset in the message at which rest ends
	err  error
}

func newReader(b []byte) reader {
	return reader{rest: b, end: len(b)}
}

func (r *reader) offset() int { return r.end - len(r.rest) }

func (r *reader) fail(field, reason string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s at byte %d: %s", ErrMalformed, field, r.offset(), reason)
	}
	r.rest = nil
}

func (r *reader) failValue(field string, value uint16) {
	r.fail(field, fmt.Sprintf("value 0x%04x is not defined by RFC 9420", value))
}

func (r *reader) uint8(field string) (v uint8) {
	if r.err == nil && !r.rest.ReadUint8(&v) {
		r.fail(field, "the message ends here")
	}
	return v
}

func (r *reader) uint16(field string) (v uint16) {
	if r.err == nil && !r.rest.ReadUint16(&v) {
		r.fail(field, "the message ends here")
	}
	return v
}

func (r *reader) uint32(field string) (v uint32) {
	if r.err == nil && !r.rest.ReadUint32(&v) {
		r.fail(field, "the message ends here")
	}
	return v
}

func (r *reader) uint64(field string) (v uint64) {
	if r.err == nil && !r.rest.ReadUint64(&v) {
		r.fail(field, "the message ends here")
	}
	return v
}

// version reads a ProtocolVersion, of which there is one (RFC 9420 §6).
func (r *reader) version(field string) {
	if v := r.uint16(field); r.err == nil && v != version10 {
		r.failValue(field, v)
	}
}

// present reads the byte before an optional value (RFC 9420 §2.1.1).
func (r *reader) present(field string) bool {
	v := r.uint8(field)
	if v > 1 {
		r.fail(field, fmt.Sprintf("an optional is marked 0 or 1, not %d", v))
	}
	return v == 1
}

// vector reads a variable-size vector (RFC 9420 §2.1.2). It borrows, and its capacity is its
// length: appending to it does not write into the message.
func (r *reader) vector(field string) []byte {
	n, ok := r.length(field)
	if !ok {
		return nil
	}
	var v []byte
	if !r.rest.ReadBytes(&v, n) {
		r.fail(field, fmt.Sprintf("%d bytes announced, %d left", n, len(r.rest)))
		return nil
	}
	return v[:n:n]
}

// length reads the header of a vector: two bits say in how many bytes its length is written,
// and only the shortest of the possible forms is valid.
func (r *reader) length(field string) (int, bool) {
	first := r.uint8(field)
	if r.err != nil {
		return 0, false
	}
	n, more := int(first&0x3f), 0
	switch first >> 6 {
	case 1:
		more = 1
	case 2:
		more = 3
	case 3:
		r.fail(field, "a length cannot begin with the bits 11")
		return 0, false
	}
	for range more {
		n = n<<8 | int(r.uint8(field))
	}
	if r.err == nil && sizeOfLength(n) != 1+more {
		r.fail(field, fmt.Sprintf("length %d is written in %d bytes where %d would do", n, 1+more, sizeOfLength(n)))
	}
	return n, r.err == nil
}

// finish fails when anything is left.
func (r *reader) finish(field string) error {
	if r.err == nil && len(r.rest) > 0 {
		r.fail(field, fmt.Sprintf("%d bytes after the end", len(r.rest)))
	}
	return r.err
}

func sizeOfLength(n int) int {
	switch {
	case n < 1<<6:
		return 1
	case n < 1<<14:
		return 2
	default:
		return 4
	}
}
