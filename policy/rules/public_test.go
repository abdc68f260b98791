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
