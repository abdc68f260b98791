package storage

import (
	"encoding/binary"
	"errors"
)

var errRecord = errors.New("storage: record does not decode")

// decoder reads what binary.AppendUvarint and appendBytes wrote. The first error
// sticks; everything after it reads as zero.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.rest, d.err = nil, errRecord
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) int() int64 { return int64(d.uint()) }

// bytes borrows from the record.
func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.rest)) {
		d.rest, d.err = nil, errRecord
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

// end reports what went wrong, bytes left over included.
func (d *decoder) end() error {
	if d.err == nil && len(d.rest) > 0 {
		return errRecord
	}
	return d.err
}

func appendUints(dst []byte, ns ...uint64) []byte {
	for _, n := range ns {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

func appendBytes[T string | []byte](dst []byte, b T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}
