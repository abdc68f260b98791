package mastodon

import (
	"bytes"
	"crypto/sha256"
	"net/url"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// mark stands for an actor or a domain: 128 bits of its SHA-256. Mastodon's public list of domain blocks
// gives the same digest where it hides the name.
type mark [16]byte

func markOf(text string) mark {
	h := sha256.Sum256([]byte(text))
	return mark(h[:16])
}

// markOfHost is the mark of a domain, in whatever spelling.
func markOfHost(host string) mark { return markOf(asciiHost(host)) }

// asciiHost is a host as lists of domains have it: lower case, Punycode, which GoToSocial does not show, and without a port
// or a dot at its end, which lead to the same server.
func asciiHost(host string) string {
	host = strings.TrimSuffix((&url.URL{Host: host}).Hostname(), ".")
	if !strings.ContainsFunc(host, func(r rune) bool { return r >= utf8.RuneSelf || r >= 'A' && r <= 'Z' }) {
		return host
	}
	if name, err := idna.Lookup.ToASCII(host); err == nil {
		return name
	}
	return strings.ToLower(host)
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

// with is the set with one more, unless it has limit of them already.
func (s marks) with(m mark, limit int) marks {
	if s.has(m) || len(s)/len(m) >= limit {
		return s
	}
	list := []mark{m}
	for some := range slices.Chunk(s, len(m)) {
		list = append(list, mark(some))
	}
	return newMarks(list, limit)
}

func (s marks) has(m mark) bool {
	_, found := sort.Find(len(s)/len(m), func(i int) int { return bytes.Compare(m[:], s[i*len(m):][:len(m)]) })
	return found
}
