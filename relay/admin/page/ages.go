package page

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// ages are how many requests wait for how long.
type ages struct {
	All, Messages int
	Groups        [4]age // from the youngest
	Oldest        time.Time
}

// age is a span of it, and what has waited so long.
type age struct {
	Name               string
	Requests, Messages int
	Servers            set

	below time.Duration
}

func newAges() *ages {
	return &ages{Groups: [4]age{
		{Name: "from the last 24 hours", below: day, Servers: set{}},
		{Name: "one to three days old", below: 3 * day, Servers: set{}},
		{Name: "three to seven days old", below: 7 * day, Servers: set{}},
		{Name: "older than a week", below: 1 << 62, Servers: set{}},
	}}
}

func (a *ages) add(w Waiting, now time.Time) {
	i := slices.IndexFunc(a.Groups[:], func(g age) bool { return now.Sub(w.Since) < g.below })
	g := &a.Groups[i]
	g.Servers.add(w.Domain)
	g.Requests, a.All = g.Requests+1, a.All+1
	g.Messages, a.Messages = g.Messages+w.Messages, a.Messages+w.Messages
	if a.Oldest.IsZero() || w.Since.Before(a.Oldest) {
		a.Oldest = w.Since
	}
}

// Most is what the largest span has.
func (a *ages) Most() (n int) {
	for _, g := range a.Groups {
		n = max(n, g.Requests)
	}
	return n
}

// waiting groups everybody's requests by age; nil when nobody knows them.
func (p *Page) waiting(ctx context.Context) (*ages, error) {
	if p.opt.Requests == nil {
		return nil, nil //nolint:nilnil // there is nothing to know, which is no error
	}
	a, now := newAges(), p.opt.Clock()
	if err := p.opt.Requests(ctx, func(w Waiting) { a.add(w, now) }); err != nil {
		return nil, fmt.Errorf("read the requests: %w", err)
	}
	return a, nil
}
