package rules

import (
	"fmt"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// What one test may cost: it asks so often, about one sender.
const (
	maxRepeat = 10_000
	testKeys  = 1
)

// test is a fact about the policy, kept in its file and checked on every load.
type test struct {
	name   string
	given  Case
	on     []string // lists the actor's domain counts as being on
	repeat int
	expect Action
	rule   string // "" is any
	shadow Action // what a rule in mode shadow would have done; "" is anything
	node   ast.Node
}

// Outcome is what became of a test.
type Outcome struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Got  string `json:"got,omitempty"` // when not OK: what was decided instead
	Line int    `json:"line"`
}

func (p *parsing) tests(n ast.Node) {
	names := map[string]bool{}
	for _, item := range p.items(n, "tests") {
		t := p.test(item)
		if names[t.name] {
			p.wrongf(item, "the name %q is taken by another test", t.name)
		}
		names[t.name] = true
		p.policy.tests = append(p.policy.tests, t)
	}
}

func (p *parsing) test(n ast.Node) test {
	t := test{given: Given(), repeat: 1, node: n}
	actions := []string{string(Allow), string(Hold), string(Ignore), string(Refuse), string(RetryLater), string(LastResort), string(Hide), string(Slow)}
	ruleNamed := func(n ast.Node) {
		if t.rule = p.text(n, "rule"); p.policy.rule(t.rule) == nil {
			p.wrongf(n, "there is no rule %q%s", t.rule, meant(t.rule, p.policy.ruleNames()))
		}
	}
	p.fields(n, "a test", map[string]func(ast.Node){
		"name":   func(n ast.Node) { t.name = p.text(n, "name") },
		"given":  func(n ast.Node) { p.given(n, "", &t) },
		"expect": func(n ast.Node) { t.expect = Action(p.oneOf(n, "expect", actions...)) },
		"shadow": func(n ast.Node) { t.shadow = Action(p.oneOf(n, "shadow", actions...)) },
		"rule":   ruleNamed,
		"repeat": func(n ast.Node) {
			if t.repeat = p.number(n, "repeat"); t.repeat > maxRepeat {
				p.wrongf(n, "repeat is at most %d", maxRepeat)
			}
		},
	})
	if t.name == "" || t.expect == "" {
		p.wrongf(n, "a test needs name, given and expect")
	}
	if len(t.on) > 0 && t.given.Actor.Domain == "" {
		t.given.Actor.Domain = "listed.example"
	}
	return t
}

// given sets the variables of a test, nested as {msg: {kind: welcome}}.
func (p *parsing) given(n ast.Node, prefix string, t *test) {
	for _, e := range p.entries(n, "given") {
		key := prefix + e.Key.GetToken().Value
		switch e.Value.(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			p.given(e.Value, key+".", t)
			continue
		}
		if key == "in" {
			t.on = p.on(e.Value)
			continue
		}
		if err := t.given.Set(key, p.text(e.Value, key)); err != nil {
			p.wrongf(e.Key, "given: %v", err)
		}
	}
}

func (p *parsing) on(n ast.Node) []string {
	on := p.texts(n, "in")
	for _, name := range on {
		if p.policy.lists[name] == nil {
			p.wrongf(n, "given: there is no list %q%s", name, meant(name, sortedKeys(p.policy.lists)))
		}
	}
	return on
}

func (p *Policy) ruleNames() []string {
	names := make([]string, len(p.rules))
	for i, r := range p.rules {
		names[i] = r.name
	}
	return names
}

// Test runs every test of the file at now, each with nothing counted before.
func (p *Policy) Test(now time.Time) []Outcome {
	all := make([]Outcome, len(p.tests))
	for i := range p.tests {
		all[i] = p.try(&p.tests[i], now)
	}
	return all
}

func (p *Policy) runTests(r *reader, now time.Time) {
	for i, o := range p.Test(now) {
		if !o.OK {
			r.wrongf(p.tests[i].node, "test %q fails: %s", o.Name, o.Got)
		}
	}
}

func (p *Policy) try(t *test, now time.Time) Outcome {
	fresh := p.fresh(testKeys)
	fresh.shadow = false // what it would do
	var v Verdict
	for range t.repeat {
		c := t.given
		v = fresh.decide(&scene{Case: &c, lists: p.lists, now: now, on: t.on})
	}
	o := Outcome{Name: t.name, OK: t.met(v)}
	if t.node != nil && t.node.GetToken() != nil {
		o.Line = t.node.GetToken().Position.Line
	}
	if !o.OK {
		o.Got = fmt.Sprintf("expected %s, got %s", t.wanted(), told(v))
	}
	return o
}

func (t *test) met(v Verdict) bool {
	shadowed := t.shadow == "" || slices.ContainsFunc(v.Shadow, func(s Shadow) bool { return s.Action == t.shadow })
	return v.Action == t.expect && (t.rule == "" || v.Rule == t.rule) && shadowed && len(v.Failed) == 0
}

func (t *test) wanted() string {
	text := string(t.expect)
	if t.rule != "" {
		text += " by " + t.rule
	}
	if t.shadow != "" {
		text += ", with a shadow rule for " + string(t.shadow)
	}
	return text
}

// told says a verdict in words.
func told(v Verdict) string {
	text := string(v.Action) + " by no rule"
	if v.Rule != "" {
		text = fmt.Sprintf("%s by %s", v.Action, v.Rule)
	}
	for _, s := range v.Shadow {
		text += fmt.Sprintf("; shadow %s would %s", s.Rule, s.Action)
	}
	for _, f := range v.Failed {
		text += fmt.Sprintf("; %s cannot be evaluated: %v", f.Rule, f.Err)
	}
	return text
}
