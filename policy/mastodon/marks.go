package mastodon

import (
	"bytes"
	"crypto/sha256"
	"slices"
)

// mark stands for an actor or a domain: 128 bits of its SHA-256. Mastodon's public list of domain blocks
// gives the same digest where it hides the name.
type mark [16]byte

func markOf(text string) mark {
	h := sha256.Sum256([]byte(text))
	return mark(h[:16])
}

// marks is a sorted set, marks one after the other.
type marks []byte

// newMarks sorts at most limit of the list; the first stay.
func newMarks(list []mark, limit int) marks {
	list = slices.Clone(list[:min(len(list), limit)])
	slices.SortFunc(list, func(a, b mark) int { return bytes.Compare(a[:], b[:]) })
	var set marks
	for _, m := range slices.Compact(list) {
		set = append(set, m[:]...)
	}
	return set
}

func (s marks) has(m mark) bool {
	low, high := 0, len(s)/len(m)
	for low < high {
		middle := (low + high) / 2
		switch at := s[middle*len(m):][:len(m)]; bytes.Compare(at, m[:]) {
		case 0:
			return true
		case -1:
			low = middle + 1
		default:
			high = middle
		}
	}
	return false
}
