package rules

import (
	"fmt"
	"time"
)

// Step is what one rule says about a Case.
type Step struct {
	Rule   string `json:"rule"`
	At     Stage  `json:"at"`
	When   string `json:"when,omitempty"`
	Then   Action `json:"then"`
	Mode   string `json:"mode"`
	Match  bool   `json:"match"`
	Answer string `json:"answer"`
}

// Explain says of every rule in order what it says about c, and what is decided.
// It counts nothing: a limit answers what it would to one more.
func (p *Policy) Explain(c *Case, now time.Time) ([]Step, Verdict) {
	v := Verdict{Action: Allow}
	s := &scene{Case: c, lists: p.lists, now: now}
	steps := make([]Step, len(p.rules))
	decided := false
	for i, r := range p.rules {
		one := &steps[i]
		*one = Step{Rule: r.name, At: r.at, When: r.when.String(), Then: r.then, Mode: modeOf(r.shadow || p.shadow)}
		var wait time.Duration
		if one.Match, wait, one.Answer = r.answer(s); !one.Match {
			continue
		}
		switch {
		case decided:
			one.Answer += "; a rule before it has decided"
		case r.shadow || p.shadow:
			v.Shadow = append(v.Shadow, Shadow{Rule: r.name, Action: r.then})
			decided = !r.shadow
		default:
			v.Action, v.Rule, v.RetryAfter, decided = r.then, r.name, wait, true
		}
	}
	return steps, v
}

// answer is what one rule says, without counting.
func (r *rule) answer(s *scene) (match bool, wait time.Duration, why string) {
	if r.at != s.At {
		return false, 0, "is for " + string(r.at)
	}
	if !acts(r.at, r.then, s.Msg.Kind) {
		return false, 0, fmt.Sprintf("%s means nothing for a %s", r.then, s.Msg.Kind)
	}
	holds, err := r.when.holds(s)
	switch {
	case err != nil:
		return false, 0, fmt.Sprintf("cannot be evaluated: %v", err)
	case !holds:
		return false, 0, "its condition does not hold"
	case r.counts == nil:
		return true, 0, "matches"
	}
	if wait = r.counts.Wait(r.limit.key(r.counts, s.Case), s.now); wait == 0 {
		return false, 0, "its condition holds, and is within " + r.limit.String()
	}
	return true, wait, fmt.Sprintf("matches: over %s, for another %v", r.limit, wait.Round(time.Second))
}
