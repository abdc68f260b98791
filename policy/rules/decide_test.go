package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

func welcome(actor, domain string) *rules.Case {
	c := rules.Given()
	c.Actor = rules.Actor{ID: actor, Domain: domain}
	c.Msg = rules.Msg{Kind: rules.KindWelcome, KeyIsOurs: true}
	c.Recipient = "4711"
	return &c
}

func TestTheFirstMatchDecides(t *testing.T) {
	p := parse(t, `
version: 1
rules:
  - {name: one, at: contact, when: 'rel == "mutual"', then: allow}
  - {name: two, at: contact, then: hold}
`)
	c := welcome("https://a.example/a", "a.example")
	if v := p.Decide(c, now); v.Rule != "two" || v.Action != rules.Hold {
		t.Errorf("%+v", v)
	}
	c.Rel = rules.Mutual
	if v := p.Decide(c, now); v.Rule != "one" || v.Action != rules.Allow {
		t.Errorf("%+v", v)
	}
	c.At = rules.Group
	if v := p.Decide(c, now); v.Rule != "" || v.Action != rules.Allow {
		t.Errorf("%+v", v)
	}
	var none *rules.Policy
	if v := none.Decide(c, now); v.Action != rules.Allow {
		t.Errorf("without a policy: %+v", v)
	}
}

func TestALimitMatchesWhatExceedsIt(t *testing.T) {
	p := parse(t, `
version: 1
limits: {two: {max: 2, every: 1h, per: [actor, recipient]}}
rules: [{name: r, at: contact, limit: two, then: retry-later}]
`)
	decide := func(actor, recipient string, at time.Time) rules.Verdict {
		c := welcome(actor, "a.example")
		c.Recipient = recipient
		return p.Decide(c, at)
	}
	for range 2 {
		if v := decide("a", "1", now); v.Action != rules.Allow {
			t.Fatalf("%+v", v)
		}
	}
	if v := decide("a", "1", now); v.Action != rules.RetryLater || v.RetryAfter != 30*time.Minute {
		t.Errorf("the third: %+v", v)
	}
	for _, other := range [][2]string{{"b", "1"}, {"a", "2"}, {"a1", ""}} {
		if v := decide(other[0], other[1], now); v.Action != rules.Allow {
			t.Errorf("%v pays for another: %+v", other, v)
		}
	}
	if v := decide("a", "1", now.Add(30*time.Minute)); v.Action != rules.Allow {
		t.Errorf("after the announced wait: %+v", v)
	}
}

// TestWhatHasToComeAgainIsCountedOnce: sixteen redeliveries of one invitation that a later rule puts off use up nothing of an earlier
// rule's limit, in mode shadow as well.
func TestWhatHasToComeAgainIsCountedOnce(t *testing.T) {
	p := parse(t, `
version: 1
limits:
  two:  {max: 2, every: 1d, per: [actor]}
  deep: {max: 2, every: 1d, per: [domain]}
rules:
  - {name: trial, at: contact, limit: deep, then: hold, mode: shadow}
  - {name: flood, at: contact, limit: two, then: ignore}
  - {name: busy,  at: contact, when: 'server.load > 0.9', then: retry-later}
`)
	busy := welcome("a", "a.example")
	busy.Server.Load = 1
	for n := range 16 {
		if v := p.Decide(busy, now); v.Rule != "busy" || len(v.Shadow) > 0 {
			t.Fatalf("redelivery %d: %+v", n, v)
		}
	}
	for n, want := range []string{"", "", "flood"} {
		v := p.Decide(welcome("a", "a.example"), now)
		if v.Rule != want || (want == "") != (len(v.Shadow) == 0) {
			t.Errorf("invitation %d: %+v, want %q", n, v, want)
		}
	}
}

const limited = `
version: 1
limits: {l: {max: 10, every: 1h, per: [actor]}}
rules: [{name: r, at: contact, limit: l, then: ignore}]
`

// A reload forgives nobody, also when the limit has changed; what counts by something else begins anew.
func TestCountersSurviveAReload(t *testing.T) {
	before := parse(t, limited)
	for range 10 {
		before.Decide(welcome("spammer", "a.example"), now)
	}
	for change, want := range map[string]rules.Action{
		"":                             rules.Ignore,
		"max: 10->max: 5":              rules.Ignore,
		"every: 1h->every: 2h":         rules.Ignore,
		"per: [actor]->per: [domain]":  rules.Allow,
		"name: r->name: other":         rules.Allow,
		"then: ignore->then: refuse":   rules.Refuse,
		"max: 10->max: 10, burst: 100": rules.Allow, // more room than before
	} {
		old, now2, _ := strings.Cut(change, "->")
		text := strings.Replace(limited, old, now2, 1)
		p, err := rules.Parse(rules.Source{Name: "p", Text: []byte(text), Now: now, Before: before})
		if err != nil {
			t.Fatal(err)
		}
		if v := p.Decide(welcome("spammer", "a.example"), now); v.Action != want {
			t.Errorf("%s: %+v, want %s", change, v, want)
		}
		if v := p.Fresh().Decide(welcome("spammer", "a.example"), now); v.Action != rules.Allow {
			t.Errorf("%s: a fresh policy remembers: %+v", change, v)
		}
	}
}

func TestShadowDecidesAndDoesNotAct(t *testing.T) {
	text := `
version: 1
mode: enforce
rules:
  - {name: one, at: contact, when: 'rel == "stranger"', then: refuse, mode: shadow}
  - {name: two, at: contact, then: hold}
`
	v := parse(t, text).Decide(welcome("a", "a.example"), now)
	if v.Action != rules.Hold || v.Rule != "two" || len(v.Shadow) != 1 || v.Shadow[0] != (rules.Shadow{Rule: "one", Action: rules.Refuse}) {
		t.Errorf("%+v", v)
	}
	p := parse(t, strings.Replace(text, "mode: enforce", "mode: shadow", 1))
	v = p.Decide(welcome("a", "a.example"), now)
	if v.Action != rules.Allow || v.Rule != "" || len(v.Shadow) != 2 || v.Shadow[1] != (rules.Shadow{Rule: "two", Action: rules.Hold}) || p.Mode() != rules.ShadowMode {
		t.Errorf("the whole file: %+v", v)
	}
}

func TestWhatCannotBeEvaluatedDoesNotMatch(t *testing.T) {
	p := parse(t, `
version: 1
rules: [{name: r, at: contact, when: '100 / msg.bytes > 1', then: refuse}]
`)
	c := welcome("a", "a.example")
	if v := p.Decide(c, now); v.Action != rules.Allow || len(v.Failed) != 1 || v.Failed[0].Rule != "r" {
		t.Errorf("%+v", v)
	}
	c.Msg.Bytes = 10
	if v := p.Decide(c, now); v.Action != rules.Refuse || len(v.Failed) != 0 {
		t.Errorf("%+v", v)
	}
}

func TestExplainSaysWhatEveryRuleSays(t *testing.T) {
	p := preset(t, "normal")
	c := welcome("https://a.example/a", "a.example")
	var got []string
	for range 2 { // it counts nothing
		steps, v := p.Explain(c, now)
		if v.Action != rules.Hold || v.Rule != "strangers-wait" {
			t.Fatalf("%+v", v)
		}
		got = nil
		for _, s := range steps {
			got = append(got, s.Rule+": "+s.Answer)
		}
	}
	for _, want := range []string{
		"forged-invite: its condition does not hold",
		"key-drain: last-resort means nothing for a welcome",
		"invite-flood: its condition holds, and is within invites: 5 per 1d for each actor",
		"strangers-wait: matches",
		"blocked-member: is for group",
	} {
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("no %q in\n%s", want, strings.Join(got, "\n"))
		}
	}
	for range 6 {
		p.Decide(c, now)
	}
	steps, v := p.Explain(c, now)
	if v.Rule != "invite-flood" || !strings.Contains(steps[5].Answer, "over invites: 5 per 1d for each actor, for another 4h48m0s") {
		t.Errorf("%+v %+v", v, steps[5])
	}
}
