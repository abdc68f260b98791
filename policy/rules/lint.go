package rules

import (
	"slices"
	"time"
)

// enumerable are the variables with few values: what a rule says about them can be
// tried out completely.
var enumerable = map[string]bool{"rel": true, "msg.kind": true, "msg.key_is_ours": true, "group.joined": true}

// lint finds rules that can never decide: always another one comes first, or what
// they do means nothing for the messages they ask for.
func (p *parsing) lint() {
	reached := make([]bool, len(p.policy.rules))
	met := make([]bool, len(p.policy.rules))
	covers := p.covers()
	for _, c := range everyCase() {
		p.reach(&c, covers, reached, met)
	}
	for i, r := range p.policy.rules {
		switch {
		case reached[i]:
		case met[i]:
			p.wrongf(r.node, "rule %s is never reached: rules before it decide everything it asks for", r.name)
		default:
			p.wrongf(r.node, "rule %s never matches: no message at %s that %s can act on meets its condition", r.name, r.at, r.then)
		}
	}
}

// everyCase is one Case for each combination of the enumerable variables.
func everyCase() []Case {
	all := []Case{Given()}
	for _, name := range []string{"rel", "msg.kind", "msg.key_is_ours", "group.joined"} {
		values := variables[name].words
		if values == nil {
			values = []string{"false", "true"}
		}
		var more []Case
		for _, c := range all {
			for _, v := range values {
				if err := c.Set(name, v); err != nil {
					panic("bug: " + err.Error())
				}
				more = append(more, c)
			}
		}
		all = more
	}
	return all
}

// covers gives for each rule those before it that ask for the same, or for part of it: where it matches, so do they.
func (p *parsing) covers() [][]int {
	all := make([][]int, len(p.policy.rules))
	for i, r := range p.policy.rules {
		for j, other := range p.policy.rules[:i] {
			if other.at == r.at && other.decides() && r.when.includes(other.when) {
				all[i] = append(all[i], j)
			}
		}
	}
	return all
}

// decides says whether no rule is asked after r when its condition holds.
func (r *rule) decides() bool { return !r.shadow && r.limit == nil }

// reach marks which rules c meets, and which of them decide about it or could. A
// condition over anything else may hold or not.
func (p *parsing) reach(c *Case, covers [][]int, reached, met []bool) {
	decided := map[Stage]bool{}
	may := make([]bool, len(p.policy.rules))
	for i, r := range p.policy.rules {
		var must bool
		if may[i], must = r.mayMatch(c); !may[i] {
			continue
		}
		met[i] = true
		covered := slices.ContainsFunc(covers[i], func(j int) bool { return may[j] })
		reached[i] = reached[i] || !decided[r.at] && !covered
		if must && r.decides() {
			decided[r.at] = true
		}
	}
}

// mayMatch says whether r can match c, and whether it does whatever else is so.
func (r *rule) mayMatch(c *Case) (may, must bool) {
	if !acts(r.at, r.then, c.Msg.Kind) {
		return false, false
	}
	if r.when == nil {
		return true, true
	}
	for _, name := range r.when.uses {
		if !enumerable[name] {
			return true, false
		}
	}
	at := *c
	at.At = r.at
	holds, err := r.when.holds(&scene{Case: &at, now: time.Time{}})
	return holds || err != nil, holds
}
