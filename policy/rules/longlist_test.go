package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/policy/rules"
)

// longList has so many domains, as a Mastodon exports them.
func longList(n int) string {
	var text strings.Builder
	text.WriteString("#domain,#severity,#reject_media,#reject_reports,#public_comment,#obfuscate\n")
	for i := range n {
		fmt.Fprintf(&text, "host-%d.example,suspend,false,false,,false\n", i)
	}
	return text.String()
}

// TestTheLongestList: a million domains load, each is found with what is below it, and nothing else; one more does
// not load, and the same one twice is one.
func TestTheLongestList(t *testing.T) {
	if testing.Short() {
		t.Skip("a million lines are left out by -short")
	}
	const most = 1_000_000
	text := longList(most) + "host-0.example,suspend\n"
	p := lists(t, "{csv: l.csv}", map[string]string{"l.csv": text})
	for i := 0; i < most; i += 997 {
		if on := p.On(fmt.Sprintf("a.host-%d.example", i), now); len(on) != 1 {
			t.Fatalf("domain %d is not found", i)
		}
		if on := p.On(fmt.Sprintf("ahost-%d.example", i), now); len(on) != 0 {
			t.Fatalf("what is not listed is found beside domain %d", i)
		}
	}
	if all := p.Lists(); all[0].Domains != most {
		t.Errorf("%d domains", all[0].Domains)
	}
	_, err := rules.Parse(rules.Source{
		Name: "p", Now: now, Open: files(map[string]string{"l.csv": text + "one-more.example,suspend\n"}),
		Text: []byte("version: 1\nlists: {l: {csv: l.csv}}\nrules: [{name: r, at: contact, when: 'actor.domain in lists.l', then: ignore}]"),
	})
	if err == nil || !strings.Contains(err.Error(), "l.csv has more than 1000000 domains") {
		t.Errorf("a million and one: %v", err)
	}
}

// BenchmarkLongList decides about an actor who is on none of a million domains.
func BenchmarkLongList(b *testing.B) {
	p, err := rules.Parse(rules.Source{
		Name: "p", Now: now, Open: files(map[string]string{"l.csv": longList(1_000_000)}),
		Text: []byte("version: 1\nlists: {l: {csv: l.csv}}\nrules: [{name: r, at: contact, when: 'actor.domain in lists.l', then: ignore}]"),
	})
	if err != nil {
		b.Fatal(err)
	}
	decide(b, p, *welcome("https://social.mastodon.example/users/alice", "social.mastodon.example"), 0)
}
