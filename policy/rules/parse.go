package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/goccy/go-yaml/ast"
)

// Source is what a policy is made of.
type Source struct {
	Name   string                            // of the file, for messages
	Text   []byte                            // the file
	Open   func(path string) ([]byte, error) // reads a list's file; nil: there are none
	Now    time.Time                         // lists are expired or not at this moment
	Before *Policy                           // the one that is replaced, whose counters go on; nil: none
}

// maxRules bounds rules, and with them the label values of the metrics.
const maxRules = 200

// Parse reads, checks, compiles, lints and tests a policy. The error joins a
// Problem for everything that is wrong, tests that fail among them.
func Parse(s Source) (*Policy, error) {
	p := &parsing{reader: reader{file: s.Name}, source: s, limits: map[string]*limit{}, policy: &Policy{
		name: s.Name, text: s.Text, lists: map[string]*domains{},
	}}
	sum := sha256.New()
	p.hash = func(b []byte) { n := sha256.Sum256(b); sum.Write(n[:]) }
	p.hash(s.Text)
	if body := p.document(s.Text); body != nil {
		p.sections(body)
	}
	if err := errors.Join(p.problems...); err != nil {
		return nil, err
	}
	p.policy.hash = hex.EncodeToString(sum.Sum(nil)[:6])
	p.lint()
	p.policy.runTests(&p.reader, s.Now)
	if err := errors.Join(p.problems...); err != nil {
		return nil, err
	}
	p.policy.count(s.Before, 0, s.Now)
	return p.policy, nil
}

// parsing is a policy while it is read.
type parsing struct {
	reader
	source Source
	policy *Policy
	limits map[string]*limit
	used   map[string]bool // limits some rule has
	env    *cel.Env
	hash   func([]byte)
}

// sections reads them in the order in which they need each other.
func (p *parsing) sections(body ast.Node) {
	found := map[string]ast.Node{}
	keep := func(name string) func(ast.Node) { return func(n ast.Node) { found[name] = n } }
	known := map[string]func(ast.Node){}
	for _, name := range []string{"version", "mode", "inherit", "lists", "limits", "rules", "tests"} {
		known[name] = keep(name)
	}
	p.fields(body, "a policy", known)
	if n, ok := found["version"]; !ok {
		p.wrongf(body, "lacks version: 1")
	} else if v := p.text(n, "version"); v != "1" {
		p.wrongf(n, "version %q is not known here: this program reads version: 1", v)
	}
	in := func(name string, read func(ast.Node)) {
		if n, ok := found[name]; ok {
			read(n)
		}
	}
	in("mode", func(n ast.Node) { p.policy.shadow = p.mode(n) })
	p.policy.inherit = Inherit{DomainBlocks: true, UserBlocks: true, NotificationPolicy: true}
	in("inherit", p.inherit)
	in("lists", p.lists)
	in("limits", p.readLimits)
	env, err := language(p.policy.lists)
	if err != nil {
		p.wrongf(nil, "its names make no language: %v", err)
		return
	}
	p.env, p.used = env, map[string]bool{}
	in("rules", p.rules)
	in("tests", p.tests)
	p.unused()
}

// mode says whether something is in mode shadow.
func (p *parsing) mode(n ast.Node) bool { return p.oneOf(n, "mode", "enforce", "shadow") == "shadow" }

func (p *parsing) inherit(n ast.Node) {
	in := &p.policy.inherit
	p.fields(n, "inherit", map[string]func(ast.Node){
		"domain_blocks":       func(n ast.Node) { in.DomainBlocks = p.flag(n, "domain_blocks") },
		"user_blocks":         func(n ast.Node) { in.UserBlocks = p.flag(n, "user_blocks") },
		"notification_policy": func(n ast.Node) { in.NotificationPolicy = p.flag(n, "notification_policy") },
	})
}

// newName checks the name of a list, limit, rule or test.
func (p *parsing) newName(n ast.Node, taken bool, letters string) string {
	name := n.GetToken().Value
	switch {
	case name == "" || len(name) > 64 || strings.Trim(name, letters) != "":
		p.wrongf(n, "%q is no name: write up to 64 of %s", name, letters)
	case taken:
		p.wrongf(n, "the name %q is taken", name)
	}
	return name
}

const (
	wordLetters = "abcdefghijklmnopqrstuvwxyz0123456789_"
	nameLetters = wordLetters + "-"
)

func (p *parsing) readLimits(n ast.Node) {
	for _, e := range p.entries(n, "limits") {
		name := p.newName(e.Key, p.limits[e.Key.GetToken().Value] != nil, nameLetters)
		l := &limit{name: name}
		p.fields(e.Value, "limit "+name, map[string]func(ast.Node){
			"max":   func(n ast.Node) { l.rate.Max = p.number(n, "max") },
			"every": func(n ast.Node) { l.rate.Every = p.span(n, "every") },
			"burst": func(n ast.Node) { l.rate.Burst = p.number(n, "burst") },
			"per": func(n ast.Node) {
				for _, item := range p.items(n, "per") {
					l.per = append(l.per, p.oneOf(item, "per", perNames...))
				}
			},
		})
		if l.rate.Max == 0 || l.rate.Every == 0 || len(l.per) == 0 || len(l.per) > len(perNames) {
			p.wrongf(e.Key, "limit %s needs max, every and per, as {max: 5, every: 1d, per: [actor]}", name)
		}
		if int64(l.rate.Burst) > int64(1000*day/max(l.rate.Every, 1))*int64(l.rate.Max) {
			p.wrongf(e.Key, "limit %s: its burst would take more than 1000 days to fill again", name)
		}
		p.limits[name] = l
	}
}

func (p *parsing) rules(n ast.Node) {
	items := p.items(n, "rules")
	if len(items) > maxRules {
		p.wrongf(n, "has %d rules, %d are possible", len(items), maxRules)
		return
	}
	for _, item := range items {
		p.policy.rules = append(p.policy.rules, p.rule(item))
	}
}

func (p *parsing) rule(n ast.Node) *rule {
	r := &rule{node: n}
	var when ast.Node
	p.fields(n, "a rule", map[string]func(ast.Node){
		"name": func(n ast.Node) { r.name = p.newName(n, p.policy.rule(n.GetToken().Value) != nil, nameLetters) },
		"at":   func(n ast.Node) { r.at = Stage(p.oneOf(n, "at", string(Contact), string(Group), string(Send))) },
		"then": func(n ast.Node) { r.then, r.thenNode = Action(p.text(n, "then")), n },
		"mode": func(n ast.Node) { r.shadow = p.mode(n) },
		"when": func(n ast.Node) { when = n },
		"limit": func(n ast.Node) {
			name := p.text(n, "limit")
			if r.limit = p.limits[name]; r.limit == nil {
				p.wrongf(n, "there is no limit %q%s", name, meant(name, sortedKeys(p.limits)))
			}
			p.used[name] = true
		},
	})
	if r.name == "" || r.at == "" || r.then == "" {
		p.wrongf(n, "a rule needs name, at and then")
		return r
	}
	if err := Allowed(r.at, r.then); err != nil && allowed[r.at] != nil {
		p.wrongf(r.thenNode, "rule %s: %v", r.name, err)
	}
	if when != nil {
		r.when = p.condition(when, r.name)
	}
	return r
}

// condition compiles a `when` and places its faults in the file.
func (p *parsing) condition(n ast.Node, rule string) *condition {
	c, faults := compile(p.env, p.text(n, "when"))
	for _, f := range faults {
		problem := &Problem{File: p.file, Reason: fmt.Sprintf("rule %s: %s", rule, f.reason)}
		at := n.GetToken().Position
		problem.Line, problem.Column = at.Line, at.Column+f.column
		switch _, block := n.(*ast.LiteralNode); {
		case block:
			problem.Line, problem.Column = at.Line+1+max(f.line, 0), 0
		case n.GetToken().Origin != "" && strings.ContainsAny(strings.TrimSpace(n.GetToken().Origin)[:1], `'"`):
			problem.Column++
		}
		p.problems = append(p.problems, problem)
	}
	return c
}

// unused warns of what no rule names: a rule was forgotten, or lost.
func (p *parsing) unused() {
	for _, name := range sortedKeys(p.limits) {
		if !p.used[name] {
			p.policy.warnings = append(p.policy.warnings, fmt.Sprintf("no rule has limit: %s", name))
		}
	}
	for _, name := range sortedKeys(p.policy.lists) {
		if !slices.ContainsFunc(p.policy.rules, func(r *rule) bool { return r.uses(listPrefix + name) }) {
			p.policy.warnings = append(p.policy.warnings, fmt.Sprintf("no rule looks at lists.%s", name))
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// count gives every rule with a limit its table; keys 0 is the usual size.
func (p *Policy) count(before *Policy, keys int, now time.Time) {
	for _, r := range p.rules {
		if r.limit != nil {
			r.counts = r.limit.table(before.rule(r.name), keys, now)
		}
	}
}

// Fresh is the same policy with nothing counted yet, for replaying: its limits forget nobody whom those in force would know.
func (p *Policy) Fresh() *Policy { return p.fresh(0) }

func (p *Policy) fresh(keys int) *Policy {
	fresh := *p
	fresh.rules = make([]*rule, len(p.rules))
	for i, r := range p.rules {
		one := *r
		one.counts = nil
		fresh.rules[i] = &one
	}
	fresh.count(nil, keys, time.Time{})
	return &fresh
}
