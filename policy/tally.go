package policy

import (
	"cmp"
	"maps"
	"slices"

	"github.com/sealgate/sealgate/policy/rules"
)

// The bounds of a sum: more names than that are not told apart, and so many
// domains are shown.
const (
	maxNames     = 100_000
	shownDomains = 10
)

func (t *Tally) add(e Entry, rule string, do rules.Action, mode string) {
	i := slices.IndexFunc(t.Rules, func(r RuleTally) bool {
		return r.Rule == rule && r.At == e.Case.At && r.Action == do && r.Mode == mode
	})
	if i < 0 {
		i = len(t.Rules)
		t.Rules = append(t.Rules, RuleTally{
			Rule: rule, At: e.Case.At, Action: do, Mode: mode,
			people: map[string]bool{}, groups: map[string]bool{}, domains: map[string]int{},
		})
	}
	t.Rules[i].add(e)
}

func (r *RuleTally) add(e Entry) {
	r.Count++
	r.Last = e.ID
	name(r.people, e.Case.Actor.ID)
	name(r.groups, e.Case.Group.ID)
	if d := e.Case.Actor.Domain; d != "" && (len(r.domains) < maxNames || r.domains[d] > 0) {
		r.domains[d]++
	}
}

// name notes a name, up to a bound.
func name(set map[string]bool, id string) {
	if id != "" && len(set) < maxNames {
		set[id] = true
	}
}

func (r *RuleTally) finish() {
	r.People, r.Groups, r.Domains = len(r.people), len(r.groups), worst(r.domains)
}

// worst are the domains with the highest counts.
func worst(counts map[string]int) []DomainCount {
	all := make([]DomainCount, 0, len(counts))
	for _, d := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, DomainCount{d, counts[d]})
	}
	slices.SortStableFunc(all, func(a, b DomainCount) int { return cmp.Compare(b.Count, a.Count) })
	return all[:min(len(all), shownDomains)]
}
