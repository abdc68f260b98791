package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

// A friend's Welcome passes all of normal's contact rules but key-drain: seven, one of them with a limit.
func BenchmarkSevenContactRules(b *testing.B) {
	p := parse(b, strings.Replace(strings.Replace(string(presetText(b, "normal")), "max: 5, every: 1d", "max: 5000000, every: 1s", 1), "repeat: 6, expect: ignore", "expect: allow", 1))
	c := rules.Given()
	c.Actor = rules.Actor{ID: "https://mastodon.example/users/alice", Domain: "mastodon.example", FirstSeenDays: 300}
	c.Rel, c.Recipient = rules.Mutual, "4711"
	c.Msg = rules.Msg{Kind: rules.KindWelcome, KeyIsOurs: true, Bytes: 4000, Recipients: 2, Hosts: 2}
	decide(b, p, c, time.Microsecond)
}

func BenchmarkTwoGroupRules(b *testing.B) {
	p := preset(b, "normal")
	c := rules.Given()
	c.At = rules.Group
	c.Actor = rules.Actor{ID: "https://mastodon.example/users/alice", Domain: "mastodon.example", FirstSeenDays: 300}
	c.Rel, c.Recipient = rules.Mutual, "4711"
	c.Msg = rules.Msg{Kind: rules.KindApplication, Bytes: 4000, Recipients: 2, Hosts: 2}
	c.Group = rules.GroupState{ID: "0123456789abcdef", Joined: true}
	decide(b, p, c, 6*time.Second)
}

// decide lets every limit refill one between two decisions.
func decide(b *testing.B, p *rules.Policy, c rules.Case, step time.Duration) {
	b.ReportAllocs()
	at := now
	for b.Loop() {
		at = at.Add(step)
		if v := p.Decide(&c, at); v.Action != rules.Allow || len(v.Failed) > 0 {
			b.Fatalf("%+v", v)
		}
	}
}
