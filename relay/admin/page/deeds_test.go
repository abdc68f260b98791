package page //nolint:testpackage // the page writes only what it was shown

import (
	"slices"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

// FuzzWithRule: whatever the file and the name, what is written behind a policy that loads is one rule more, the first,
// about that domain alone; or the policy does not load, and is not put in force.
func FuzzWithRule(f *testing.F) {
	f.Add("version: 1\nrules:\n  - {name: a, at: contact, then: hold}\n", "evil.example")
	f.Add("version: 1\nrules: # all of them\n- name: a\n  at: contact\n  then: hold\n", "evil.example:8443")
	f.Add("version: 1\nrules: []\n", "evil.example")
	f.Add("rules:\n", `x", then: allow}`)
	f.Add("version: 1\nrules:\n  - {name: no-a-b, at: contact, then: hold}\n", "a.b")
	now := time.Unix(1_800_000_000, 0)
	f.Fuzz(func(t *testing.T, text, domain string) {
		old, err := rules.Parse(rules.Source{Name: "p", Text: []byte(text), Now: now})
		if err != nil {
			return
		}
		out, err := withRule([]byte(text), domain)
		if err != nil {
			return
		}
		next, err := rules.Parse(rules.Source{Name: "p", Text: out, Now: now})
		if err != nil {
			return
		}
		list := next.Rules()
		if !slices.Equal(list[1:], old.Rules()) || list[0].At != rules.Contact || list[0].Then != rules.Ignore || list[0].When != `actor.domain == "`+domain+`"` {
			t.Fatalf("%q became\n%s", text, out)
		}
	})
}
