package inbox

import (
	"errors"
	"slices"
	"time"

	"github.com/sealgate/sealgate/inbox/mls"
)

// What can be wrong with key packages besides the rules of package mls, one
// sentinel for every rule.
var (
	// ErrNotKeyPackage: the bytes are MLS, but something else.
	ErrNotKeyPackage = errors.New("inbox: not a KeyPackage")
	// ErrReused: this init key was published before (RFC 9420 §10: each is for one package).
	ErrReused = errors.New("inbox: init key was published before")
	// ErrTooMany: the device has key_packages.max_per_device already, or its person too many devices or bytes.
	ErrTooMany = errors.New("inbox: too many key packages")
	// ErrPackageSize: one package, or one batch of them, is too large.
	ErrPackageSize = errors.New("inbox: key packages are too large")
	// ErrNoPackage: the person has no key package under that id.
	ErrNoPackage = errors.New("inbox: no such key package")
)

// State is what a key package is to the world while it is kept. What its lifetime
// or a reservation add to that is derived when it is asked for.
type State string

// The states. A package that is consumed, removed or expired is not kept.
const (
	Proposed State = "proposed" // its owner alone sees it, until an Add
	Listed   State = "listed"   // in the collection
	Used     State = "used"     // a Welcome used it and it stays, for its device has nothing better
)

// Package is what is kept about one key package beside its Content.
type Package struct {
	ID       string   // the last part of its URL
	N        uint64   // its entry in the log; packages are ordered by it
	Activity string   // the last part of the URL of the activity that published it
	Aliases  []string // what the client called activity and object

	Device     string // Device.ID
	Suite      mls.Suite
	Ref        []byte   // see RefOf
	Signer     [32]byte // SHA-256 of the leaf's signature key
	State      State
	LastResort bool // marked so by the client
	Verified   bool // both signatures hold; else the suite is unknown here
	Published  time.Time
	NotAfter   time.Time // the last second of its lifetime
	Size       int       // bytes of the KeyPackage and its Content

	Hold Hold
}

// Hold keeps a package for one requester.
type Hold struct {
	By    string // a hash of the requester; "" is nobody
	Until time.Time
}

// Held tells whether somebody has the package reserved.
func (p *Package) Held(now time.Time) bool { return p.Hold.By != "" && now.Before(p.Hold.Until) }

// Valid tells whether the package's lifetime lasts.
func (p *Package) Valid(now time.Time) bool { return now.Unix() <= p.NotAfter.Unix() }

// Open tells whether the package belongs in the collection now.
func (p *Package) Open(now time.Time) bool { return p.State != Proposed && p.Valid(now) }

// is tells whether name is one of the package's names.
func (p *Package) is(name string) bool {
	return name != "" && (p.ID == name || p.Activity == name || slices.Contains(p.Aliases, name))
}

// Device is one client of a person: whoever held the leaf signature key when its
// first package was published. An Update in place may change the key and stays
// with the device.
type Device struct {
	ID    string   // of the first signature key
	Name  string   // what the client calls itself; for people
	Keys  [][]byte // SHA-256 of the latest signature keys
	First time.Time
}

// Pool is all that is kept about one person's key packages but their Content.
type Pool struct {
	Packages []Package // by N
	Devices  []Device  // oldest first
	Notices  []Notice  // oldest first, the latest maxNotices
	Log      Head
}

// Open are the packages in the collection at that moment, in order.
func (p *Pool) Open(now time.Time) []Package {
	var out []Package
	for i := range p.Packages {
		if p.Packages[i].Open(now) {
			out = append(out, p.Packages[i])
		}
	}
	return out
}

// Reusable are, of each device and suite, the last resort or, where there is none, one
// package, which stays the same until it is consumed.
func (p *Pool) Reusable(now time.Time) []Package {
	var out []Package
	at := map[shelfMark]int{}
	for _, one := range p.Open(now) {
		mark := shelfMark{one.Device, one.Suite}
		i, ok := at[mark]
		switch {
		case !ok:
			at[mark] = len(out)
			out = append(out, one)
		case one.LastResort && !out[i].LastResort:
			out[i] = one
		}
	}
	return out
}

// byID is nil for an id that the pool has not.
func (p *Pool) byID(id string) *Package {
	i := slices.IndexFunc(p.Packages, func(one Package) bool { return one.ID == id })
	if i < 0 {
		return nil
	}
	return &p.Packages[i]
}

// find gives the packages that name means: one by its own id, all of a batch by
// their activity's.
func (p *Pool) find(name string) []*Package {
	var out []*Package
	for i := range p.Packages {
		if p.Packages[i].is(name) {
			out = append(out, &p.Packages[i])
		}
	}
	return out
}

// drop forgets packages; the store forgets their contents with them.
func (p *Pool) drop(gone func(*Package) bool) {
	p.Packages = slices.DeleteFunc(p.Packages, func(one Package) bool { return gone(&one) })
}

func (p *Pool) device(id string) *Device {
	for i := range p.Devices {
		if p.Devices[i].ID == id {
			return &p.Devices[i]
		}
	}
	return nil
}

// fresh counts what inviters of a device can get once: listed, valid, and not
// its last resort.
func (p *Pool) fresh(device string, now time.Time) (n int) {
	for i := range p.Packages {
		one := &p.Packages[i]
		if one.Device == device && one.State == Listed && !one.LastResort && one.Valid(now) {
			n++
		}
	}
	return n
}

// openOf counts the device's packages in the collection.
func (p *Pool) openOf(device string, now time.Time) (n int) {
	for i := range p.Packages {
		if one := &p.Packages[i]; one.Device == device && one.Open(now) {
			n++
		}
	}
	return n
}

// Counts says how many packages a device has in the collection, and how many of
// them are neither used nor its last resort.
func (p *Pool) Counts(device string, now time.Time) (open, fresh int) {
	return p.openOf(device, now), p.fresh(device, now)
}

// Has tells whether a package is called name.
func (p *Pool) Has(name string) bool { return len(p.find(name)) > 0 }
