package rules

import (
	"fmt"
	"time"
)

// Rule is a rule as in the file.
type Rule struct {
	Name  string `json:"name"`
	At    Stage  `json:"at"`
	When  string `json:"when,omitempty"`
	Limit string `json:"limit,omitempty"`
	Then  Action `json:"then"`
	Mode  string `json:"mode"`
}

// List is what there is to say about a list.
type List struct {
	Name    string     `json:"name"`
	Domains int        `json:"domains"`
	Skipped int        `json:"skipped,omitempty"`
	Expires *time.Time `json:"expires,omitempty"`
}

// The modes of a policy and of a rule.
const (
	Enforce    = "enforce"
	ShadowMode = "shadow"
)

// Name is the file's, or the preset's.
func (p *Policy) Name() string { return p.name }

// Text is the file, byte for byte.
func (p *Policy) Text() []byte { return p.text }

// Hash tells policies apart: 12 hex digits over the file and the files of its lists.
func (p *Policy) Hash() string {
	if p == nil {
		return ""
	}
	return p.hash
}

// Mode is Enforce or ShadowMode, of the whole file.
func (p *Policy) Mode() string { return modeOf(p != nil && p.shadow) }

// Inherit says what of the instance's knowledge counts.
func (p *Policy) Inherit() Inherit {
	if p == nil {
		return Inherit{}
	}
	return p.inherit
}

// Warnings are sentences about what loads, and probably should not stay so: of lists that have expired at now, and of what
// the file has since it was loaded.
func (p *Policy) Warnings(now time.Time) []string {
	var all []string
	for _, name := range sortedKeys(p.lists) {
		if d := p.lists[name]; d.expired(now) {
			all = append(all, fmt.Sprintf("list %s expired on %s and matches nobody: renew it or remove it", name, d.expires.Add(-day).Format(time.DateOnly)))
		}
	}
	return append(all, p.warnings...)
}

// Rules are all rules in order.
func (p *Policy) Rules() []Rule {
	all := make([]Rule, len(p.rules))
	for i, r := range p.rules {
		all[i] = Rule{Name: r.name, At: r.at, When: r.when.String(), Then: r.then, Mode: modeOf(r.shadow)}
		if r.limit != nil {
			all[i].Limit = r.limit.String()
		}
	}
	return all
}

// RulesUsing are the names of the rules that look at a variable.
func (p *Policy) RulesUsing(variable string) []string {
	var names []string
	for _, r := range p.rules {
		if r.uses(variable) {
			names = append(names, r.name)
		}
	}
	return names
}

// Lists are all lists by name.
func (p *Policy) Lists() []List {
	all := make([]List, 0, len(p.lists))
	for _, name := range sortedKeys(p.lists) {
		d := p.lists[name]
		one := List{Name: name, Domains: d.names.len(), Skipped: len(d.skipped)}
		if !d.expires.IsZero() {
			one.Expires = &d.expires
		}
		all = append(all, one)
	}
	return all
}

// On are the lists a domain is on at now.
func (p *Policy) On(domain string, now time.Time) []string {
	var on []string
	for _, name := range sortedKeys(p.lists) {
		if d := p.lists[name]; !d.expired(now) && d.has(domain) {
			on = append(on, name)
		}
	}
	return on
}

func modeOf(shadow bool) string { //nolint:revive // it is the two-valued mode itself
	if shadow {
		return ShadowMode
	}
	return Enforce
}

// Tests is how many tests the file has.
func (p *Policy) Tests() int { return len(p.tests) }
