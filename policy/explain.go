package policy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

// Explanation is a decision with what every rule in force says about its case.
type Explanation struct {
	Decided  *Entry       `json:"decided,omitempty"` // as logged; nil for a case that was made up
	Policy   string       `json:"policy"`            // hash of the policy that Steps are of
	Steps    []rules.Step `json:"steps"`
	Action   rules.Action `json:"action"` // what it would do now
	Rule     string       `json:"rule,omitempty"`
	Sentence string       `json:"sentence,omitempty"` // what the sender was told
	Note     string       `json:"note,omitempty"`     // how far Steps can be believed
}

// ErrNoDecision means that the log does not have a decision, or not any more.
var ErrNoDecision = errors.New("policy: the decision log has no such decision: it keeps 7 days, and 5,000 an hour")

// Explain says why a logged decision was made, and what the policy in force says
// about the same case.
func (b *Book) Explain(ctx context.Context, id string) (Explanation, error) {
	e, err := b.entry(ctx, id)
	if err != nil {
		return Explanation{}, err
	}
	x := b.ExplainCase(&e.Case)
	x.Decided = &e
	x.Sentence = e.Sentence()
	if x.Policy != e.Policy {
		x.Note = fmt.Sprintf("policy %s decided; since then another one, %s, is in force, and its rules are shown. ", e.Policy, x.Policy)
	}
	x.Note += "Ids are hashed in the log: limits, and conditions on actor.id, answer as for somebody new."
	return x, nil
}

// ExplainCase says what the policy in force says about a case. It counts nothing.
func (b *Book) ExplainCase(c *rules.Case) Explanation {
	p := b.Current()
	steps, v := p.Explain(c, b.opt.Clock())
	return Explanation{
		Policy: p.Hash(), Steps: steps, Action: v.Action, Rule: v.Rule,
		Sentence: Decision{ID: "(an id)", Action: v.Action, Rule: v.Rule, At: c.At, Kind: c.Msg.Kind}.Sentence(),
	}
}

// entry finds a decision by its id, whose first part is its time.
func (b *Book) entry(ctx context.Context, id string) (found Entry, err error) {
	at, ok := timeOfDecision(id)
	if !ok || b.opt.Journal == nil {
		return Entry{}, fmt.Errorf("%w: %q", ErrNoDecision, id)
	}
	err = b.opt.Journal.Entries(ctx, at, func(e Entry) bool {
		if e.ID == id {
			found = e
		}
		return e.ID < id
	})
	if err == nil && found.ID == "" {
		err = fmt.Errorf("%w: %q", ErrNoDecision, id)
	}
	return found, err
}

// Tally is what a policy did in some time.
type Tally struct {
	Since   time.Time   `json:"since"`
	Entries int         `json:"entries"`
	Rules   []RuleTally `json:"rules"` // in the order in which they first matched
}

// RuleTally is what one rule did, or would have done.
type RuleTally struct {
	Rule   string       `json:"rule"` // "" when no rule matched
	At     rules.Stage  `json:"at"`
	Action rules.Action `json:"action"`
	Mode   string       `json:"mode"`
	Totals
	Last string `json:"last"` // id of the newest decision
}

// Totals are how many decisions there were, and about whom.
type Totals struct {
	Count   int           `json:"count"`
	People  int           `json:"people"` // senders, each counted once a day
	Groups  int           `json:"groups"`
	Domains []DomainCount `json:"domains"` // the worst ones first

	people, groups map[string]bool
	domains        map[string]int
}

// DomainCount is how often a domain was meant.
type DomainCount struct {
	Domain string `json:"domain"`
	Count  int    `json:"count"`
}

// Tally sums up what was logged since then.
func (b *Book) Tally(ctx context.Context, since time.Time) (Tally, error) {
	t := Tally{Since: since}
	if b.opt.Journal == nil {
		return t, nil
	}
	err := b.opt.Journal.Entries(ctx, since, func(e Entry) bool {
		t.Entries++
		t.add(e, e.Rule, e.Action, rules.Enforce)
		for _, s := range e.Shadow {
			t.add(e, s.Rule, s.Action, rules.ShadowMode)
		}
		return true
	})
	for i := range t.Rules {
		t.Rules[i].finish()
	}
	return t, err
}
