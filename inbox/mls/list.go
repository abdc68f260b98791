package mls

import (
	"encoding/binary"
	"iter"
)

// item is a structure that occurs in lists. decode ignores its receiver and reads at least
// one byte, or fails.
type item[T any] interface {
	decode(r *reader) T
	appendTo(dst []byte) []byte
}

// List is a vector of structures (RFC 9420 §2.1.2). It was checked when the message was
// parsed and is decoded again by every range over it: it owns no memory.
type List[T item[T]] struct{ raw []byte }

// readList lends r to the items, for a reader of each list's own would cost memory per list.
func readList[T item[T]](r *reader, field string) List[T] {
	raw := r.vector(field)
	rest, end := r.rest, r.end
	r.rest, r.end = raw, r.offset()
	for r.err == nil && len(r.rest) > 0 {
		var t T
		t.decode(r)
	}
	r.rest, r.end = rest, end
	return List[T]{raw}
}

// All ranges over the items in the order of the message.
func (l List[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		items := newReader(l.raw)
		for len(items.rest) > 0 {
			var t T
			if t = t.decode(&items); !yield(t) {
				return
			}
		}
	}
}

func (l List[T]) first() (t T, ok bool) {
	if len(l.raw) == 0 {
		return t, false
	}
	r := newReader(l.raw)
	return t.decode(&r), true
}

// Len counts the items by walking them.
func (l List[T]) Len() int {
	n := 0
	for range l.All() {
		n++
	}
	return n
}

func (l List[T]) appendTo(dst []byte) []byte {
	dst = appendLength(dst, len(l.raw))
	for t := range l.All() {
		dst = t.appendTo(dst)
	}
	return dst
}

// Numbers is a vector of 16-bit identifiers: suites, extensions, proposals, credentials.
type Numbers struct{ raw []byte }

func readNumbers(r *reader, field string) Numbers {
	raw := r.vector(field)
	if len(raw)%2 != 0 {
		r.fail(field, "a list of 16-bit values has an odd length")
	}
	return Numbers{raw}
}

// All ranges over the values in the order of the message.
func (n Numbers) All() iter.Seq[uint16] {
	return func(yield func(uint16) bool) {
		for b := n.raw; len(b) >= 2; b = b[2:] {
			if !yield(binary.BigEndian.Uint16(b)) {
				return
			}
		}
	}
}

// Contains tells whether v is among the values.
func (n Numbers) Contains(v uint16) bool {
	for w := range n.All() {
		if v == w {
			return true
		}
	}
	return false
}

func (n Numbers) appendTo(dst []byte) []byte {
	dst = appendLength(dst, len(n.raw))
	for v := range n.All() {
		dst = appendUint16(dst, v)
	}
	return dst
}
