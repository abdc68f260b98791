package rules

import "time"

// Policy is a compiled file. It may be used concurrently; a nil one allows
// everything.
type Policy struct {
	rules []*rule
}

// rule is one line of a policy.
type rule struct {
	name   string
	at     Stage
	then   Action
	shadow bool
	when   func(*Case) bool
}

// Decide returns the first rule's verdict that matches c.
func (p *Policy) Decide(c *Case, now time.Time) Verdict {
	v := Verdict{Action: Allow}
	if p == nil {
		return v
	}
	for _, r := range p.rules {
		if r.at != c.At || !acts(r.at, r.then, c.Msg.Kind) || !r.when(c) {
			continue
		}
		if r.shadow {
			v.Shadow = append(v.Shadow, Shadow{Rule: r.name, Action: r.then})
			continue
		}
		v.Action, v.Rule = r.then, r.name
		break
	}
	return v
}
