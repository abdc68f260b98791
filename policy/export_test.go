package policy

import (
	"context"

	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/policy/rules"
)

// NewPool returns the way into a pool.
func NewPool(verifiers, queue int) func(context.Context, func() error) error {
	return newPool(verifiers, queue).known.do
}

// NewLanes returns the two ways into a pool.
func NewLanes(verifiers, queue int) (known, strangers func(context.Context, func() error) error) {
	p := newPool(verifiers, queue)
	return p.known.do, p.strangers.do
}

// Diff says how b differs from a.
func Diff(a, b string) string { return diff(a, b) }

// Sum adds entries up, as rules of those names did something in those modes.
func Sum(t *Tally, e Entry, rule string, do rules.Action, mode string) {
	t.add(e, rule, do, mode)
	for i := range t.Rules {
		t.Rules[i].finish()
	}
}

// NewLookups counts the keys that a client has looked up; the second gives how many clients have some.
func NewLookups() (enter func(client ratelimit.Key, keyID string) (leave func(), err error), clients func() int) {
	l := newLookups()
	return l.enter, func() int { return len(l.open) }
}

// Add counts one entry.
func (r *RuleTally) Add(e Entry) { r.add(e) }

// Names is how many domains are told apart.
func (r *RuleTally) Names() int { return len(r.domains) }

// DomainOf is the host of an actor's id as rules and lists have it.
func DomainOf(actor string) string { return domainOf(actor) }
