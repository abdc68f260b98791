package rules_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/policy/rules"
)

// problemsIn are what Parse says of a policy; lists are files that it may open.
func problemsIn(text string, lists map[string]string) (all []string) {
	_, err := rules.Parse(rules.Source{Name: "p", Text: []byte(text), Now: now, Open: files(lists)})
	for _, p := range rules.Problems(err) {
		all = append(all, p.Error())
	}
	return all
}

// TestBounds: the last that is taken, and the first that is not.
func TestBounds(t *testing.T) {
	f := func(ok bool, format string, args ...any) {
		t.Helper()
		text := "version: 1\n" + fmt.Sprintf(format, args...)
		if all := problemsIn(text, nil); (len(all) == 0) != ok {
			t.Errorf("%.80q…: %q, want it taken: %v", text, all, ok)
		}
	}
	limit := "limits: {a: {max: %s, every: %s, per: [actor]}}\nrules: [{name: r, at: contact, limit: a, then: hold}]"
	f(true, limit, "1", "1s")
	f(false, limit, "0", "1s")
	f(false, limit, "-1", "1s")
	f(true, limit, "1", "366d")
	f(false, limit, "1", "367d")
	f(false, limit, "1", "999ms")
	rule := "rules: [{name: %s, at: contact, then: hold}]"
	f(true, rule, strings.Repeat("a", 64))
	f(false, rule, strings.Repeat("a", 65))
	list := "lists: {l: [%s]}\nrules: [{name: r, at: contact, when: 'actor.domain in lists.l', then: hold}]"
	domains := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("d%d.example", i))
		}
		return strings.Join(all, ", ")
	}
	f(true, list, domains(1000))
	f(false, list, domains(1001))
	f(true, list, strings.Repeat("a.", 123)+"example") // 253 bytes
	f(false, list, strings.Repeat("a.", 123)+"examples")
	head := "rules: [{name: r, at: contact, then: hold}]\n#"
	f(true, "%s", head+strings.Repeat("x", 256<<10-len("version: 1\n"+head)))
	f(false, "%s", head+strings.Repeat("x", 256<<10+1-len("version: 1\n"+head)))
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for n, deep := range map[int]bool{64: false, 65: true} {
		if got := slices.ContainsFunc(problemsIn("version: "+nested(n), nil), func(p string) bool { return strings.Contains(p, "too deeply") }); got != deep {
			t.Errorf("%d deep: %v", n, got)
		}
	}
	rules := func(n int) string { return strings.Repeat("  - {name: r, at: contact, then: hold}\n", n) }
	over := func(n int) bool {
		return strings.Contains(strings.Join(problemsIn("version: 1\nrules:\n"+rules(n), nil), "; "), "are possible")
	}
	if over(200) || !over(201) {
		t.Errorf("200 rules are too many: %v, and 201: %v", over(200), over(201))
	}
	repeat := "limits: {a: {max: 1, every: 1s, per: [actor]}}\nrules: [{name: r, at: contact, limit: a, then: hold}]\n" +
		"tests: [{name: t, given: {at: contact, msg: {kind: welcome}}, repeat: %d, expect: hold}]"
	f(true, repeat, 10_000)
	f(false, repeat, 10_001)
	many := func(n int) string {
		text := "lists:\n"
		for i := range n {
			text += fmt.Sprintf("  l%d: [a.example]\n", i)
		}
		return text + "rules: [{name: r, at: contact, then: hold}]"
	}
	f(true, "%s", many(1000))
	f(false, "%s", many(1001))
	f(true, limit[:len(limit)-len("per: [actor]}}\nrules: [{name: r, at: contact, limit: a, then: hold}]")]+"burst: 1000, per: [actor]}}\nrules: [{name: r, at: contact, limit: a, then: hold}]", "1", "1d")
	f(false, limit[:len(limit)-len("per: [actor]}}\nrules: [{name: r, at: contact, limit: a, then: hold}]")]+"burst: 1001, per: [actor]}}\nrules: [{name: r, at: contact, limit: a, then: hold}]", "1", "1d")
}

// TestNesting: what opens a level for the parser counts, and what closes one.
func TestNesting(t *testing.T) {
	f := func(deep bool, text string) {
		t.Helper()
		if got := strings.Contains(strings.Join(problemsIn(text, nil), "; "), "too deeply"); got != deep {
			t.Errorf("%.40q…: too deep: %v", text, got)
		}
	}
	for text, levels := range map[string]int{"[": 1, "{": 1, "- ": 1, "? ": 1, "[]": 0, "{}": 0, "]": 0, "a ": 0, "-a": 0, "- \n": 0, " ": 0} {
		f(false, strings.Repeat(text, 64))
		f(levels > 0, strings.Repeat(text, 65))
	}
}

// TestPlaces: a problem is where an operator looks for it.
func TestPlaces(t *testing.T) {
	f := func(place, text string) {
		t.Helper()
		all := problemsIn(text, nil)
		if len(all) != 1 || !strings.HasPrefix(all[0], place+": ") {
			t.Errorf("%q, want one at %s", all, place)
		}
	}
	f("p", "")
	f("p:2:8", "version: 1\nrules: [")
	f("p:3:19", "version: 1\nrules:\n  - {name: a, at: nowhere, then: hold}")
	f("p:3:43", "version: 1\nrules:\n  - {name: a, at: contact, when: 'true && nothing == 1', then: hold}")
	f("p:3:34", "version: 1\nrules:\n  - {name: a, at: contact, when: nothing == 1, then: hold}")
	f("p:5", "version: 1\nrules:\n  - name: a\n    when: |\n      nothing == 1\n    at: contact\n    then: hold")
	f("p:4:5", "version: 1\nrules: [{name: a, at: contact, then: hold}]\ntests:\n  - {name: x, given: {at: contact, msg: {kind: welcome}}, expect: refuse}")
	text := "version: 1\nrules: [{name: a, at: contact, then: hold}]\ntests:\n  - {name: x, given: {at: contact, msg: {kind: welcome}}, expect: hold}"
	if all := parse(t, text).Test(now); len(all) != 1 || !all[0].OK || all[0].Line != 4 {
		t.Errorf("a test that passes: %+v", all)
	}
	if got := (&rules.Problem{File: "p", Line: 3, Reason: "r"}).Error(); got != "p:3: r" {
		t.Errorf("without a column: %q", got)
	}
	if all := rules.Problems(fmt.Errorf("load: %w", errors.Join(&rules.Problem{File: "a"}, &rules.Problem{File: "b"}))); len(all) != 2 {
		t.Errorf("wrapped twice: %v", all)
	}
}

// TestHints: a word that is nearly right is guessed, another is not.
func TestHints(t *testing.T) {
	f := func(want, word string) {
		t.Helper()
		all := strings.Join(problemsIn("version: 1\nrules: [{name: a, at: contact, then: hold, "+word+": 1}]", nil), "; ")
		if got := strings.Contains(all, "did you mean"); got != (want != "") || !strings.Contains(all, want) {
			t.Errorf("%s: %q, want %q", word, all, want)
		}
	}
	f(`"when"`, "whan")
	f("", "wxyz")
	f("", strings.Repeat("w", 65))
}

// TestBareNames: half of a variable's name, or a wrong half, is answered with the whole names that begin so.
func TestBareNames(t *testing.T) {
	for name, want := range map[string]string{
		"actor": "are actor.domain, actor.first_seen_days, actor.id", "group": "are group.joined", "server": "are server.disk, server.load",
		"msg.size": "are msg.bytes, msg.hosts, msg.key_is_ours, msg.kind, msg.recipients", "lists": "the name of a list", "lists.none": "the name of a list",
	} {
		all := problemsIn("version: 1\nrules: [{name: a, at: contact, when: '"+name+" == 1', then: hold}]", nil)
		if len(all) != 1 || !strings.Contains(all[0], want) {
			t.Errorf("%s: %q", name, all)
		}
	}
}

// TestARuleIsWhole: with a name, a stage and an action.
func TestARuleIsWhole(t *testing.T) {
	for _, left := range []string{"at: contact, then: hold", "name: a, then: hold", "name: a, at: contact"} {
		all := problemsIn("version: 1\nrules: [{"+left+"}]", nil)
		if len(all) != 1 || !strings.Contains(all[0], "a rule needs name, at and then") {
			t.Errorf("%s: %q", left, all)
		}
	}
}

// TestColumns: the header of a list says where the domain is and where how bad it is.
func TestColumns(t *testing.T) {
	f := func(csv string, want ...string) {
		t.Helper()
		text := "version: 1\nlists: {l: {csv: l.csv}}\nrules: [{name: r, at: contact, when: 'actor.domain in lists.l', then: hold}]"
		p, err := rules.Parse(rules.Source{Name: "p", Text: []byte(text), Now: now, Open: files(map[string]string{"l.csv": csv})})
		if err != nil {
			if len(want) != 1 || !strings.Contains(err.Error(), want[0]) {
				t.Errorf("%q: %v", csv, err)
			}
			return
		}
		if n := p.Lists()[0].Domains; n != len(want) {
			t.Errorf("%q: %d domains, want %q", csv, n, want)
		}
		for _, domain := range []string{"a.example", "b.example"} {
			v := p.Decide(&rules.Case{At: rules.Contact, Actor: rules.Actor{Domain: domain}, Msg: rules.Msg{Kind: rules.KindWelcome}}, now)
			if got := v.Action == rules.Hold; got != slices.Contains(want, domain) {
				t.Errorf("%q: %s is on it: %v", csv, domain, got)
			}
		}
	}
	f("a.example\nb.example\n", "a.example", "b.example")
	f("#domain,#severity\na.example,suspend\nb.example,silence\n", "a.example")
	f("#severity,#domain\nsuspend,a.example\nsuspend\n", "a.example")
	f("#severity,#domain\nsilence,a.example\nsuspend,b.example\n", "b.example")
	f("domain\na.example\n", "a.example")
	f("#severity\nsuspend\n", "has no column #domain")
	f("#domain,#severity\na.example\nb.example,suspend\n", "b.example")
}
