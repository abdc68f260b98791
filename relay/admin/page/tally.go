package page

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
)

const (
	maxEntries = 500_000 // of the log, that one page looks at
	maxDomains = 10_000
)

// outcome is what became of a message, in three words.
type outcome int

const (
	delivered outcome = iota
	waits
	turned
	outcomes
)

func outcomeOf(a rules.Action) outcome {
	switch a {
	case rules.Hold, rules.Slow, rules.RetryLater:
		return waits
	case rules.Ignore, rules.Refuse:
		return turned
	}
	return delivered
}

// tally is what the decision log says about a span of time.
type tally struct {
	Since   time.Time
	Total   int
	By      [outcomes]int
	Hours   [24][outcomes]int // the last of them is now
	Rules   map[string]*hits
	Domains map[string]*domainTally
	People  set
	Groups  set
	IsCut   bool // there was more than could be looked at
}

// hits is what a rule did, and what it would have done in mode shadow.
type hits struct{ Acted, Shadow int }

// domainTally is what came from a domain.
type domainTally struct {
	Domain         string
	Total          int
	By             [outcomes]int
	People, Groups set // at contact; in joined groups
	Invitations    int
	Keys           int
	Last           time.Time
	Rules          map[string]int
}

// set counts different hashes, up to a bound.
type set map[string]struct{}

func (s set) add(id string) {
	if id != "" && len(s) < maxDomains {
		s[id] = struct{}{}
	}
}

// tally reads the log since then.
func (p *Page) tally(ctx context.Context, span time.Duration) (*tally, error) {
	now := p.opt.Clock()
	t := &tally{Since: now.Add(-span), Rules: map[string]*hits{}, Domains: map[string]*domainTally{}, People: set{}, Groups: set{}}
	err := p.opt.Entries(ctx, t.Since, func(e policy.Entry) bool {
		t.add(e, now)
		t.IsCut = t.Total >= maxEntries
		return !t.IsCut
	})
	return t, err
}

func (t *tally) add(e policy.Entry, now time.Time) {
	did := outcomeOf(e.Action)
	t.Total++
	t.By[did]++
	if hour := int(now.Sub(e.Time) / time.Hour); hour >= 0 && hour < len(t.Hours) {
		t.Hours[len(t.Hours)-1-hour][did]++
	}
	if e.Rule != "" {
		t.rule(e.Rule).Acted++
	}
	for _, s := range e.Shadow {
		t.rule(s.Rule).Shadow++
	}
	t.People.add(e.Case.Recipient)
	t.Groups.add(e.Case.Group.ID)
	if e.Case.At != rules.Send && e.Case.Actor.Domain != "" {
		t.domain(e, did)
	}
}

func (t *tally) rule(name string) *hits {
	if t.Rules[name] == nil {
		t.Rules[name] = &hits{}
	}
	return t.Rules[name]
}

func (t *tally) domain(e policy.Entry, did outcome) {
	d := t.Domains[e.Case.Actor.Domain]
	if d == nil {
		if len(t.Domains) >= maxDomains {
			return
		}
		d = &domainTally{Domain: e.Case.Actor.Domain, People: set{}, Groups: set{}, Rules: map[string]int{}}
		t.Domains[d.Domain] = d
	}
	d.Total++
	d.By[did]++
	d.Last = e.Time
	if e.Rule != "" {
		d.Rules[e.Rule]++
	}
	switch {
	case e.Case.At == rules.Group:
		d.Groups.add(e.Case.Group.ID)
	case e.Case.Msg.Kind == rules.KindWelcome:
		d.Invitations++
		d.People.add(e.Case.Recipient)
	case e.Case.Msg.Kind == rules.KindKeyFetch:
		d.Keys++
		d.People.add(e.Case.Recipient)
	}
}

// worst are the domains of which most was turned away, then of which most waits.
func (t *tally) worst() []*domainTally {
	list := make([]*domainTally, 0, len(t.Domains))
	for _, d := range t.Domains {
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b *domainTally) int {
		return cmp.Or(cmp.Compare(b.By[turned], a.By[turned]), cmp.Compare(b.By[waits], a.By[waits]),
			cmp.Compare(b.Total, a.Total), cmp.Compare(a.Domain, b.Domain))
	})
	return list
}
