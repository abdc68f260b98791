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
		t.Rules = append(t.Rules, RuleTally{Rule: rule, At: e.Case.At, Action: do, Mode: mode, Totals: newTotals()})
	}
	t.Rules[i].Last = e.ID
	t.Rules[i].add(e)
}

func newTotals() Totals {
	return Totals{people: map[string]bool{}, groups: map[string]bool{}, domains: map[string]int{}}
}

func (t *Totals) add(e Entry) {
	t.Count++
	name(t.people, e.Case.Actor.ID)
	name(t.groups, e.Case.Group.ID)
	if d := e.Case.Actor.Domain; d != "" && (len(t.domains) < maxNames || t.domains[d] > 0) {
		t.domains[d]++
	}
}

// name notes a name, up to a bound.
func name(set map[string]bool, id string) {
	if id != "" && len(set) < maxNames {
		set[id] = true
	}
}

func (t *Totals) finish() {
	t.People, t.Groups, t.Domains = len(t.people), len(t.groups), worst(t.domains)
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
