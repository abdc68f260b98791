package policy

import (
	"crypto/sha256"
	"errors"
	"runtime/debug"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

// Origin is where a policy comes from: a file and the files of its lists, or a
// preset.
type Origin struct {
	Name  string                                       // for messages
	Read  func() ([]byte, error)                       // the policy
	Open  func(path string) ([]byte, error)            // a list's file, as the policy names it; nil: there are none
	Sum   func(path string) ([sha256.Size]byte, error) // of what Open gives, or, for "", Read; nil: they are read
	Write func([]byte) error                           // replaces the policy; nil: it cannot be (a preset)
}

// open reads the policy for "", else the file of a list.
func (o Origin) open(path string) ([]byte, error) {
	if path == "" {
		return o.Read()
	}
	if o.Open == nil {
		return nil, errors.New("there are no files here")
	}
	return o.Open(path)
}

// sum is sumOf what open would give.
func (o Origin) sum(path string) [sha256.Size]byte {
	if o.Sum == nil {
		return sumOf(o.open(path))
	}
	sum, err := o.Sum(path)
	if err != nil {
		return sumOf(nil, err)
	}
	return sum
}

// reading is a policy and the files of its lists while they are read.
type reading struct {
	text  []byte
	err   error
	open  func(string) ([]byte, error)
	files map[string][]byte
	sums  map[string][sha256.Size]byte
}

func (b *Book) read() *reading {
	r := &reading{files: map[string][]byte{}, sums: map[string][sha256.Size]byte{}}
	r.text, r.err = b.opt.Origin.Read()
	r.sums[""] = sumOf(r.text, r.err)
	r.open = func(path string) ([]byte, error) {
		text, err := b.opt.Origin.open(path)
		r.sums[path] = sumOf(text, err)
		if err == nil {
			r.files[path] = text
		}
		return text, err
	}
	return r
}

func (r *reading) parse(name string, now time.Time, before *rules.Policy) (*rules.Policy, error) {
	if r.err != nil {
		return nil, &rules.Problem{File: name, Reason: r.err.Error()}
	}
	return rules.Parse(rules.Source{Name: name, Text: r.text, Open: r.open, Now: now, Before: before})
}

// longLists are worth a collection when they have been read.
const longLists = 4 << 20

// giveBack returns the memory of long lists to the system: they are loaded seldom.
func (r *reading) giveBack() {
	size := 0
	for _, text := range r.files {
		size += len(text)
	}
	clear(r.files)
	if size > longLists {
		debug.FreeOSMemory()
	}
}

// sumOf tells contents apart; what cannot be read is one of them.
func sumOf(text []byte, err error) [sha256.Size]byte {
	if err != nil {
		return sha256.Sum256([]byte("unreadable: " + err.Error()))
	}
	return sha256.Sum256(text)
}
