package simulation_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// The invariants.
const (
	lost    = "lost"    // what was acknowledged did not arrive
	twice   = "twice"   // an activity is in a mailbox twice
	order   = "order"   // a group's messages of one host arrive in another order, or positions have holes
	claims  = "claims"  // a key package was handed to two inviters while others were free, or after its use
	foreign = "foreign" // somebody has what was not for them, or nobody sent
	limit   = "limit"   // a bound was passed
	waits   = "waits"   // a stranger's invitation is in a mailbox although the policy lets them wait, and nobody accepted it
	expired = "expired" // a key package was handed out after its lifetime
)

// violation is a broken invariant.
type violation struct{ invariant, detail string }

func (v *violation) Error() string { return v.invariant + ": " + v.detail }

func broken(invariant, format string, args ...any) error {
	return &violation{invariant, fmt.Sprintf(format, args...)}
}

// sent is an acknowledged activity.
type sent struct {
	id     string
	from   *person
	group  *group
	order  int // of acceptance at the sender's host, within the group
	to     map[*person]bool
	ref    []byte // the key package a Welcome names
	kind   string
	invite *person
	at     time.Time // of the acknowledgement
}

// model is what must be true.
type model struct {
	sent   map[string]*sent
	orders map[string]int      // given out, by host and group
	spent  map[string]bool     // key packages by reference, once a Welcome that names them was delivered
	held   map[string]handover // who was last given a package, by its URL
}

type handover struct {
	to *person
	at time.Time
}

func newModel() *model {
	return &model{sent: map[string]*sent{}, orders: map[string]int{}, spent: map[string]bool{}, held: map[string]handover{}}
}

// waiting holds arrivals against what the host's policy has been since before they were sent.
func (m *model) waiting(h *host, p *person, entries []inbox.Entry) error {
	for _, e := range entries {
		s := m.sent[e.ActivityID]
		if s == nil || s.invite != p || p.accepted[e.Actor] || h.holding.IsZero() || s.at.Before(h.holding) {
			continue
		}
		return broken(waits, "%s has the Welcome %s of %s, whom they have not accepted", p, e.ActivityID, s.from)
	}
	return nil
}

func lane(host string, g *group) string { return host + " " + g.id }

// acknowledged records a 201.
func (m *model) acknowledged(s *sent) {
	key := lane(s.from.host, s.group)
	m.orders[key]++
	s.order, s.at = m.orders[key], time.Now()
	m.sent[s.id] = s
}

// observe holds what became readable for p against the model.
func (m *model) observe(p *person, entries []inbox.Entry) error {
	for _, e := range entries {
		if n := len(p.seen); n > 0 && e.Position != p.seen[n-1].Position+1 || n == 0 && e.Position != 1 {
			return broken(order, "%s: position %d after %d messages", p, e.Position, n)
		}
		if err := m.observeOne(p, e); err != nil {
			return err
		}
		p.seen = append(p.seen, e)
	}
	return nil
}

func (m *model) observeOne(p *person, e inbox.Entry) error {
	if at, ok := p.had[e.ActivityID]; ok {
		return broken(twice, "%s has %s at %d and %d", p, e.ActivityID, at, e.Position)
	}
	p.had[e.ActivityID] = e.Position
	s := m.sent[e.ActivityID]
	if s == nil || !s.to[p] || e.Owner != p.owner() || !strings.Contains(string(e.Activity), s.id) {
		return broken(foreign, "%s has %s from %s", p, e.ActivityID, e.Actor)
	}
	key := lane(s.from.host, s.group)
	if p.ordered[key] >= s.order {
		return broken(order, "%s has number %d of %s after number %d", p, s.order, key, p.ordered[key])
	}
	p.ordered[key] = s.order
	if s.ref != nil && s.invite == p {
		m.spent[string(s.ref)] = true
	}
	return nil
}

// claim holds what p's directory gave an inviter against the pool as it was.
func (m *model) claim(by *person, got []claim, pool inbox.Pool, now time.Time) error {
	byURL := map[string]*inbox.Package{}
	for i := range pool.Packages {
		byURL[pool.Packages[i].ID] = &pool.Packages[i]
	}
	for _, c := range got {
		one := byURL[c.id[strings.LastIndexByte(c.id, '/')+1:]]
		if one == nil || !one.Open(now) {
			return broken(claims, "%s was given %s, which is not in the collection", by, c.id)
		}
		if c.ends.Before(now) {
			return broken(expired, "%s was given %s, which ended %s ago", by, c.id, now.Sub(c.ends))
		}
		if m.spent[string(c.ref)] && !one.LastResort && one.State != inbox.Used {
			return broken(claims, "%s was given %s, which is used up", by, c.id)
		}
		before, ok := m.held[c.id]
		if ok && before.to != by && now.Sub(before.at) < inbox.HoldFor && othersAreFree(pool, one, now) {
			return broken(claims, "%s was given %s, which %s holds, while others are free", by, c.id, before.to)
		}
		if !ok || before.to != by || now.Sub(before.at) >= inbox.HoldFor {
			m.held[c.id] = handover{by, now}
		}
	}
	return nil
}

// othersAreFree tells whether the device has another package that nobody holds and that is used up once.
func othersAreFree(pool inbox.Pool, than *inbox.Package, now time.Time) bool {
	return slices.ContainsFunc(pool.Packages, func(p inbox.Package) bool {
		return p.ID != than.ID && p.Device == than.Device && p.Open(now) && p.State == inbox.Listed && !p.LastResort && !p.Held(now)
	})
}

// settled is for the end: everything acknowledged has arrived.
func (m *model) settled() error {
	for _, s := range m.sent {
		for p := range s.to {
			if _, ok := p.had[s.id]; !ok {
				return broken(lost, "%s never got %s (%s of %s)", p, s.id, s.kind, s.from)
			}
		}
	}
	return nil
}
