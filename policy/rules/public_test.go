package rules_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

// TestPublicNamesNoThresholdAndNoMember: kinds, stages and actions are all that is published.
func TestPublicNamesNoThresholdAndNoMember(t *testing.T) {
	p, err := rules.Parse(rules.Source{Name: "x", Now: time.Now(), Text: []byte(`version: 1
lists: {enemies: [evil.example]}
limits: {few: {max: 7331, every: 1h, per: [actor]}}
rules:
  - {name: secret-name, at: contact, when: 'actor.domain in lists.enemies', then: ignore}
  - {name: secret-name2, at: contact, when: 'actor.domain == "worse.example"', then: ignore}
  - {name: often, at: contact, when: 'msg.kind == "welcome" && actor.first_seen_days < 4242', limit: few, then: hold}
  - {name: trial, at: group, when: 'rel == "muted"', then: hide, mode: shadow}
tests:
  - {name: a, given: {at: contact, actor: {domain: evil.example}, msg: {kind: welcome}}, expect: ignore}
`)})
	if err != nil {
		t.Fatal(err)
	}
	public := p.Public()
	if len(public) != 2 { // the two that ignore by server are one kind, the trial does nothing
		t.Errorf("%+v", public)
	}
	text, err := json.Marshal(public)
	if err != nil {
		t.Fatal(err)
	}
	all := string(text)
	for _, r := range public {
		all += r.Sentence()
	}
	for _, secret := range []string{"evil", "worse", "enemies", "7331", "4242", "secret", "few", "trial", "hide"} {
		if strings.Contains(all, secret) {
			t.Errorf("%q is published: %s", secret, all)
		}
	}
	for _, want := range []string{"which server", "how often it happens", "how long that server", `"ignore"`, `"hold"`} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not published: %s", want, all)
		}
	}
}

// TestPublicTellsKindsApart: by stage, action and what they look at; of a policy on trial, or of none, there are none.
func TestPublicTellsKindsApart(t *testing.T) {
	const text = `version: 1
rules:
  - {name: a, at: contact, when: 'actor.domain == "a.example"', then: hold}
  - {name: b, at: contact, when: 'actor.domain == "a.example"', then: ignore}
  - {name: c, at: contact, when: 'rel == "stranger"', then: hold}
  - {name: d, at: group, when: 'actor.domain == "a.example"', then: hide}
  - {name: e, at: contact, when: 'actor.domain == "b.example"', then: hold}
`
	if all := parse(t, text).Public(); len(all) != 4 {
		t.Errorf("%+v", all)
	}
	trial := parse(t, text+"mode: shadow\n")
	if all := trial.Public(); len(all) != 0 {
		t.Errorf("on trial: %+v", all)
	}
	var none *rules.Policy
	if all := none.Public(); len(all) != 0 {
		t.Errorf("of none: %+v", all)
	}
	if got := parse(t, text).Mode() + trial.Mode() + none.Mode(); got != rules.Enforce+rules.ShadowMode+rules.Enforce {
		t.Errorf("modes %s", got)
	}
	if steps, _ := trial.Explain(welcome("a", "a.example"), now); steps[0].Mode != rules.ShadowMode {
		t.Errorf("%+v", steps[0])
	}
}

// TestInherit: each kind of what the instance knows counts if the file says so.
func TestInherit(t *testing.T) {
	f := func(want rules.Inherit, text string) {
		t.Helper()
		if got := parse(t, "version: 1\ninherit: {"+text+"}\nrules: [{name: a, at: contact, then: hold}]").Inherit(); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	f(rules.Inherit{DomainBlocks: true}, "domain_blocks: true, user_blocks: false, notification_policy: false")
	f(rules.Inherit{UserBlocks: true}, "domain_blocks: false, user_blocks: true, notification_policy: false")
	f(rules.Inherit{NotificationPolicy: true}, "domain_blocks: false, user_blocks: false, notification_policy: true")
}

// TestGivenDomains: a test that names a domain is about that one; one that only says which lists it is on, about any on them.
func TestGivenDomains(t *testing.T) {
	parse(t, `version: 1
lists: {l: [x.example]}
rules:
  - {name: a, at: contact, when: 'actor.domain == "a.example" && actor.domain in lists.l', then: ignore}
  - {name: any, at: contact, when: 'actor.domain in lists.l', then: hold}
  - {name: made-up, at: contact, when: 'actor.domain == "listed.example"', then: refuse}
tests:
  - {name: named, given: {at: contact, actor: {domain: a.example}, in: [l], msg: {kind: welcome}}, expect: ignore}
  - {name: unnamed, given: {at: contact, in: [l], msg: {kind: welcome}}, expect: hold}
  - {name: none, given: {at: contact, msg: {kind: welcome}}, expect: allow}
`)
}

// TestSentences: what a rule looks at is said when it looks at something.
func TestSentences(t *testing.T) {
	f := func(want, rule string) {
		t.Helper()
		all := parse(t, "version: 1\nlimits: {l: {max: 1, every: 1h, per: [actor]}}\nrules: [{name: a, at: contact, "+rule+", then: hold}]").Public()
		if len(all) != 1 || all[0].Sentence() != want {
			t.Errorf("%+v", all)
		}
	}
	const plain = "Invitations and requests for keys may have to wait until the recipient accepts them"
	f(plain+".", "when: 'true'")
	f(plain+", depending on how often it happens.", "limit: l")
}
