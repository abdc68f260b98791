package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"time"

	"github.com/sealgate/sealgate/inbox/mls"
)

const (
	// HoldFor is how long a package stays reserved for who got it.
	HoldFor = 10 * time.Minute
	// ServiceBudget is how many packages of one device and suite a service actor
	// can have reserved at a time: it asks for many people, but not for all.
	ServiceBudget = 10
	// bySeveral is in the place of a requester's hash, which is longer.
	bySeveral = "several"
)

// Requester is who asks for packages to invite with.
type Requester struct {
	ID      string // a verified actor's id, or a client's own mark
	Service bool   // it speaks for many: each of its reads is another inviter's
}

// What a claim can give for one device and suite.
const (
	claimFresh      = "fresh"
	claimAgain      = "again"
	claimLastResort = "last_resort"
	claimNone       = "none"
)

// Claim gives the requester one package per device and suite, reserved for them
// for HoldFor; asking again gives the same, unless others had to be given it since. A service gets another each time,
// within ServiceBudget. Where nothing is free it is the device's last resort, or
// its only package, whoever holds it; a device that has neither is left out. What is answered as reserved is durable.
func (d *Directory) Claim(ctx context.Context, o Owner, r Requester) ([]Package, error) {
	by := r.hash()
	var got claimed
	err := d.change(ctx, o, "", func(c *clerk) error {
		got = c.claim(by, r.Service, c.now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return d.count(got), nil
}

func (d *Directory) count(got claimed) []Package {
	for _, kind := range got.kinds {
		d.claims.WithLabelValues(kind).Inc()
	}
	return got.packages
}

// hash keeps actors out of the store's rows; who a hold is for need only be
// recognised.
func (r Requester) hash() string {
	kind := "actor "
	if r.Service {
		kind = "service "
	}
	sum := sha256.Sum256([]byte(kind + r.ID))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// claimed is what a claim gives, its kinds for the metrics.
type claimed struct {
	packages []Package
	kinds    []string
}

func (c *claimed) give(p *Package, kind string) {
	c.kinds = append(c.kinds, kind)
	if p != nil {
		c.packages = append(c.packages, *p)
	}
}

// shelfMark is what a requester gets one package of.
type shelfMark struct {
	device string
	suite  mls.Suite
}

// claim reserves in the pool.
func (p *Pool) claim(by string, service bool, now time.Time) (out claimed) {
	var order []shelfMark
	shelves := map[shelfMark][]*Package{}
	perDevice := map[string]int{}
	for i := range p.Packages {
		one := &p.Packages[i]
		if !one.Open(now) {
			continue
		}
		mark := shelfMark{one.Device, one.Suite}
		if shelves[mark] == nil {
			order = append(order, mark)
		}
		shelves[mark] = append(shelves[mark], one)
		perDevice[one.Device]++
	}
	for _, mark := range order {
		out.take(shelves[mark], asker{by, service, perDevice[mark.device] == 1, now})
	}
	return out
}

// asker is a requester before one shelf.
type asker struct {
	by      string
	service bool
	only    bool // the shelf has all the device has: one package
	now     time.Time
}

func (c *claimed) take(shelf []*Package, a asker) {
	mine := func(p *Package) bool { return p.Hold.By == a.by && p.Held(a.now) }
	free := func(p *Package) bool { return p.State == Listed && !p.LastResort && !p.Held(a.now) }
	reusable := func(p *Package) bool { return p.LastResort || a.only }
	if i := slices.IndexFunc(shelf, mine); i >= 0 && !a.service {
		c.give(shelf[i], claimAgain)
		return
	}
	spent := 0
	for _, p := range shelf {
		if mine(p) {
			spent++
		}
	}
	if i := slices.IndexFunc(shelf, free); i >= 0 && (!a.service || spent < ServiceBudget) {
		shelf[i].Hold = Hold{By: a.by, Until: a.now.Add(HoldFor)}
		c.give(shelf[i], claimFresh)
		return
	}
	if i := slices.IndexFunc(shelf, reusable); i >= 0 {
		if shelf[i].Hold.By != "" { // all get another as soon as there is one, while any of them may use it
			shelf[i].Hold = Hold{By: bySeveral, Until: a.now.Add(HoldFor)}
		}
		c.give(shelf[i], claimLastResort)
		return
	}
	c.give(nil, claimNone)
}
