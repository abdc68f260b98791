package rules

import (
	"hash/maphash"
	"slices"
)

// set is of domains, eight bytes each: their hashes under a seed that nobody outside knows. That a domain
// which is not in a set of a million is taken for one that is happens once in 10^13.
type set struct {
	seed   maphash.Seed
	hashes []uint64
	sorted int // so many of the first are in order, each once
}

func newSet(domains ...string) *set {
	s := &set{seed: maphash.MakeSeed()}
	for _, d := range domains {
		s.add(d)
	}
	s.sort()
	return s
}

func (s *set) add(domain string) { s.hashes = append(s.hashes, maphash.String(s.seed, domain)) }

// sort makes what was added be found.
func (s *set) sort() {
	if s.sorted < len(s.hashes) {
		slices.Sort(s.hashes)
		s.hashes = slices.Clip(slices.Compact(s.hashes))
		s.sorted = len(s.hashes)
	}
}

// len counts domains once only after sort.
func (s *set) len() int { return len(s.hashes) }

func (s *set) has(domain string) bool {
	if s.len() == 0 {
		return false
	}
	_, found := slices.BinarySearch(s.hashes[:s.sorted], maphash.String(s.seed, domain))
	return found
}
