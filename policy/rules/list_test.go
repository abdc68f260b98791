package rules_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

const mastodonCSV = `#domain,#severity,#reject_media,#reject_reports,#public_comment,#obfuscate
spam.example,suspend,true,true,"waves, and more",false
Loud.Example,silence,false,false,,false
ex***le.com,suspend,true,true,,true
bücher.example,suspend,false,false,,false
kept.example,noop,false,false,,false
`

// lists parses a policy whose list l is as written.
func lists(t *testing.T, l string, content map[string]string) *rules.Policy {
	t.Helper()
	text := "version: 1\nlists: {l: " + l + "}\nrules: [{name: r, at: contact, when: 'actor.domain in lists.l', then: ignore}]"
	p, err := rules.Parse(rules.Source{Name: "p", Text: []byte(text), Now: now, Open: files(content)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLists(t *testing.T) {
	content := map[string]string{
		"blocks.csv": mastodonCSV, "windows.csv": "\xef\xbb\xbf" + strings.ReplaceAll(mastodonCSV, "\n", "\r\n"),
		"personal.csv": "spam.example\nother.example\n", "plain.txt": "# ours\nspam.example  # a comment\n\n*.wild.example\n",
	}
	for _, c := range []struct{ list, on, off string }{
		{"[a.example]", "a.example b.a.example x.y.a.example", "ba.example example a.example.com"},
		{"[A.Example., 'bücher.example']", "a.example xn--bcher-kva.example", "bucher.example"},
		{"{csv: blocks.csv}", "spam.example www.spam.example xn--bcher-kva.example", "loud.example kept.example example.com spam.example.org"},
		{"{csv: windows.csv}", "spam.example xn--bcher-kva.example", "loud.example"},
		{"{csv: blocks.csv, severity: [silence]}", "loud.example", "spam.example kept.example"},
		{"{csv: blocks.csv, severity: [suspend, silence, noop]}", "spam.example loud.example kept.example", "example.com"},
		{"{csv: personal.csv}", "spam.example other.example", "third.example"},
		{"{file: plain.txt, domains: [more.example]}", "spam.example a.wild.example more.example", "ours"},
		{"{csv: blocks.csv, except: [good.spam.example]}", "spam.example bad.spam.example", "good.spam.example www.good.spam.example"},
		{"{csv: blocks.csv, expires: 2026-11-25}", "spam.example", ""},
		{"{csv: blocks.csv, expires: 2026-11-24}", "", "spam.example"},
	} {
		p := lists(t, c.list, content)
		if strings.Contains(c.list, "plain.txt") && len(p.Warnings(now)) != 0 {
			t.Errorf("%s: %q", c.list, p.Warnings(now))
		}
		for domain := range strings.FieldsSeq(c.on) {
			if p.Decide(welcome("x", domain), now).Rule != "r" {
				t.Errorf("%s does not have %s", c.list, domain)
			}
		}
		for domain := range strings.FieldsSeq(c.off) {
			if p.Decide(welcome("x", domain), now).Rule != "" {
				t.Errorf("%s has %s", c.list, domain)
			}
		}
	}
}

func TestAListExpiresWhileItIsInForce(t *testing.T) {
	p := lists(t, "{domains: [a.example], expires: 2026-11-25}", nil)
	midnight := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	if p.Decide(welcome("x", "a.example"), midnight.Add(-1)).Rule != "r" || p.Decide(welcome("x", "a.example"), midnight).Rule != "" {
		t.Error("a list does not end with its last day")
	}
	if before, after := p.Warnings(midnight.Add(-1)), p.Warnings(midnight); len(before) > 0 || len(after) != 1 || !strings.Contains(after[0], "expired on 2026-11-25") {
		t.Errorf("%q before, %q after", before, after)
	}
}

// What is taken back in the file of a list is taken back by a reload.
func TestRetraction(t *testing.T) {
	for content, want := range map[string]string{mastodonCSV: "r", strings.Replace(mastodonCSV, "spam.example,", "#spam.example,", 1): ""} {
		if p := lists(t, "{csv: b.csv}", map[string]string{"b.csv": content}); p.Decide(welcome("x", "spam.example"), now).Rule != want {
			t.Errorf("want %q of\n%s", want, content)
		}
	}
}

func TestWarnings(t *testing.T) {
	p, err := rules.Parse(rules.Source{Name: "p", Now: now, Open: files(map[string]string{"b.csv": mastodonCSV}), Text: []byte(`
version: 1
limits: {idle: {max: 1, every: 1d, per: [actor]}}
lists:
  old: {domains: [a.example], expires: 2026-11-20}
  blocks: {csv: b.csv}
rules: [{name: r, at: contact, when: 'actor.domain in lists.blocks', then: ignore}]
`)})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(p.Warnings(now), "\n")
	for _, want := range []string{
		"list old expired on 2026-11-20 and matches nobody",
		`list blocks has 1 entries that name no domain, the first is "ex***le.com"`,
		"no rule has limit: idle", "no rule looks at lists.old",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if all := p.Lists(); all[0].Expires != nil || all[1].Expires == nil {
		t.Errorf("%+v", all)
	}
	if on := p.On("www.spam.example", now); fmt.Sprint(on) != "[blocks]" {
		t.Errorf("on %v", on)
	}
}
