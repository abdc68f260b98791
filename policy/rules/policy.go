package rules

import (
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/sealgate/sealgate/policy/ratelimit"
)

// Policy is a compiled file. It may be used concurrently; a nil one allows
// everything.
type Policy struct {
	name     string
	text     []byte
	hash     string
	shadow   bool
	inherit  Inherit
	lists    map[string]*domains
	rules    []*rule
	tests    []test
	warnings []string
}

// Inherit says what of the instance's own knowledge counts.
type Inherit struct {
	DomainBlocks       bool `json:"domain_blocks"`
	UserBlocks         bool `json:"user_blocks"`
	NotificationPolicy bool `json:"notification_policy"`
}

// rule is one line of a policy.
type rule struct {
	name   string
	at     Stage
	then   Action
	shadow bool
	when   *condition // nil: always
	limit  *limit     // nil: every match counts
	counts *ratelimit.Limiter

	node, thenNode ast.Node // where it was, while the policy is read
}

// Decide returns the verdict of the first rule that matches c at now. A condition
// that cannot be evaluated does not match, and is named in Failed.
func (p *Policy) Decide(c *Case, now time.Time) Verdict {
	if p == nil {
		return Verdict{Action: Allow}
	}
	return p.decide(&scene{Case: c, lists: p.lists, now: now})
}

func (p *Policy) decide(s *scene) Verdict {
	v := Verdict{Action: Allow}
	var few [8]counted
	before := few[:0]
	for _, r := range p.rules {
		if r.at != s.At || !acts(r.at, r.then, s.Msg.Kind) {
			continue
		}
		matches, err := r.when.holds(s)
		if err != nil {
			v.Failed = append(v.Failed, Failure{Rule: r.name, Err: err})
		}
		if !matches {
			continue
		}
		var wait time.Duration
		if r.counts != nil {
			one := counted{r.counts, r.limit.key(r.counts, s.Case)}
			if wait = one.by.Take(one.key, s.now); wait == 0 {
				before = append(before, one)
				continue
			}
		}
		if r.shadow || p.shadow {
			v.Shadow = append(v.Shadow, Shadow{Rule: r.name, Action: r.then})
			if !r.shadow { // the whole file is: here it would have ended
				return v
			}
			continue
		}
		v.Action, v.Rule, v.RetryAfter = r.then, r.name, wait
		if r.limit != nil {
			v.Limit = r.limit.rate
		}
		if r.then == RetryLater {
			giveBack(before, s.now)
		}
		return v
	}
	return v
}

// counted is an event that the limit of a rule has let pass.
type counted struct {
	by  *ratelimit.Limiter
	key ratelimit.Key
}

// giveBack has nothing counted of what has to come again: it is counted when it is let in.
func giveBack(all []counted, now time.Time) {
	for _, one := range all {
		one.by.GiveBack(one.key, now)
	}
}

// rule finds one by name; nil when there is none.
func (p *Policy) rule(name string) *rule {
	if p == nil {
		return nil
	}
	if i := slices.IndexFunc(p.rules, func(r *rule) bool { return r.name == name }); i >= 0 {
		return p.rules[i]
	}
	return nil
}

// Forgotten is how many of those whom limits count had to give way to others while they owed something.
func (p *Policy) Forgotten() (n uint64) {
	if p == nil {
		return 0
	}
	for _, r := range p.rules {
		if r.counts != nil {
			n += r.counts.Forgotten()
		}
	}
	return n
}

func (r *rule) uses(variable string) bool {
	return r.when != nil && slices.Contains(r.when.uses, variable)
}

// String is the condition as in the file, "" without one.
func (c *condition) String() string {
	if c == nil {
		return ""
	}
	return c.text
}
