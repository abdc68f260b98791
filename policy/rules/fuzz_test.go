package rules_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/policy/rules"
)

// FuzzParse: whatever is in a file, a policy that loads passes its own tests, decides without a mistake of
// its own, and does only what its stage allows; one that does not says where and why.
func FuzzParse(f *testing.F) {
	for _, name := range presets() {
		f.Add(presetText(f, name))
	}
	bad, _ := os.ReadDir("testdata/bad")
	for _, one := range bad {
		text, err := os.ReadFile("testdata/bad/" + one.Name())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	kinds := strings.Fields("welcome commit proposal application group_info key_package key_fetch")
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := rules.Parse(rules.Source{Name: "p", Text: text, Now: now, Open: files(nil)})
		if err != nil {
			if problems := rules.Problems(err); len(problems) == 0 || problems[0].Reason == "" {
				t.Fatalf("no problem in %v", err)
			}
			return
		}
		for _, o := range p.Test(now) {
			if !o.OK {
				t.Fatalf("%+v", o)
			}
		}
		for _, at := range []rules.Stage{rules.Contact, rules.Group, rules.Send} {
			for _, kind := range kinds {
				c := welcome("https://a.example/a", "a.example")
				c.At, c.Msg.Kind = at, kind
				v := p.Decide(c, now)
				if err := rules.Allowed(at, v.Action); err != nil {
					t.Fatal(err)
				}
				turnedAway := v.Action != rules.Allow && v.Action != rules.Hide && v.Action != rules.Slow
				if invitation := kind == rules.KindWelcome || kind == rules.KindKeyFetch; at != rules.Send && turnedAway && !invitation {
					t.Fatalf("a %s at %s gets %+v", kind, at, v)
				}
			}
		}
	})
}

// FuzzCSV: no content of a list's file stops a policy but with a reason, and none puts more on the list than
// is written in it.
func FuzzCSV(f *testing.F) {
	f.Add([]byte(mastodonCSV), "spam.example")
	f.Add([]byte("a.example\nb.example\n"), "b.example")
	f.Add([]byte("#domain\n\"a\nb\",x\n"), "a")
	f.Add([]byte("\xef\xbb\xbf#severity,#domain\nsuspend,a.example"), "a.example")
	text := []byte("version: 1\nlists: {l: {csv: l}}\nrules: [{name: r, at: contact, when: 'actor.domain in lists.l', then: ignore}]")
	f.Fuzz(func(t *testing.T, list []byte, domain string) {
		p, err := rules.Parse(rules.Source{Name: "p", Text: text, Now: now, Open: files(map[string]string{"l": string(list)})})
		if err != nil {
			if len(rules.Problems(err)) == 0 {
				t.Fatal(err)
			}
			return
		}
		ascii := !strings.ContainsFunc(string(list), func(r rune) bool { return r > 127 })
		if p.Decide(welcome("x", domain), now).Rule != "r" || !ascii {
			return
		}
		for name := domain; name != ""; _, name, _ = strings.Cut(name, ".") {
			if strings.Contains(strings.ToLower(string(list)), name) {
				return
			}
		}
		t.Fatalf("%q is on a list that does not have it: %q", domain, list)
	})
}
