package rules_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func presetText(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("../../configs/policies/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func preset(t testing.TB, name string) *rules.Policy {
	t.Helper()
	return parse(t, string(presetText(t, name)))
}

func parse(t testing.TB, text string) *rules.Policy {
	t.Helper()
	p, err := rules.Parse(rules.Source{Name: "policy.yaml", Text: []byte(text), Now: now, Open: files(nil)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func files(content map[string]string) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		if text, ok := content[path]; ok {
			return []byte(text), nil
		}
		return nil, errors.New("open " + path + ": no such file or directory")
	}
}

func presets() []string { return []string{"open", "normal", "quiet"} }

func TestPresetsLoadWithoutWarning(t *testing.T) {
	for _, name := range presets() {
		if p := preset(t, name); len(p.Warnings(now)) > 0 || p.Tests() == 0 {
			t.Errorf("%s: %d tests, %v", name, p.Tests(), p.Warnings(now))
		}
	}
}

// TestEveryRuleOfAPresetIsTested: without any one of its rules a preset does not load, for one of its tests.
func TestEveryRuleOfAPresetIsTested(t *testing.T) {
	for _, name := range presets() {
		text := presetText(t, name)
		tried := 0
		for line := range bytes.Lines(text) {
			rule, ok := bytes.CutPrefix(line, []byte("  - {name: "))
			if !ok || !bytes.Contains(line, []byte(", then: ")) {
				continue
			}
			tried++
			_, err := rules.Parse(rules.Source{Name: name, Text: bytes.Replace(text, line, nil, 1), Now: now})
			if err == nil || !strings.Contains(err.Error(), "fails: expected ") {
				t.Errorf("%s passes its tests without %s (%v)", name, bytes.SplitN(rule, []byte(","), 2)[0], err)
			}
		}
		if want := len(preset(t, name).Rules()); tried != want {
			t.Errorf("%s: tried %d of %d rules", name, tried, want)
		}
	}
}

// TestBadFiles wants in the error of each file what its comments say, as in package configs.
func TestBadFiles(t *testing.T) {
	bad, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(bad) < 10 {
		t.Fatal(len(bad), err)
	}
	for _, file := range bad {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, err = rules.Parse(rules.Source{Name: "p.yaml", Text: text, Now: now, Open: files(map[string]string{"bad.csv": "a,\"b\n"})})
		if err == nil {
			t.Errorf("%s loads", file)
			continue
		}
		wants := 0
		for line := range strings.SplitSeq(string(text), "\n") {
			if want, ok := strings.CutPrefix(line, "# want: "); ok {
				wants++
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: no %q in\n%v", file, want, err)
				}
			}
		}
		if n := len(rules.Problems(err)); wants != n {
			t.Errorf("%s: %d problems, %d wanted:\n%v", file, n, wants, err)
		}
	}
}

func TestAFileThatIsTooMuch(t *testing.T) {
	for name, text := range map[string]string{
		"long":  "version: 1\n#" + strings.Repeat("x", 300<<10),
		"deep":  "version: " + strings.Repeat("[", 1000),
		"rules": "version: 1\nrules:\n" + strings.Repeat("  - {name: a, at: group, then: hide}\n", 300),
	} {
		if _, err := rules.Parse(rules.Source{Name: name, Text: []byte(text), Now: now}); err == nil {
			t.Errorf("%s loads", name)
		}
	}
}

// Every action at every stage: what the table says loads, all else says why not.
func TestTheStageTable(t *testing.T) {
	table := map[rules.Stage]string{
		rules.Contact: "allow hold ignore refuse retry-later last-resort",
		rules.Group:   "allow hide slow",
		rules.Send:    "allow refuse retry-later",
	}
	for at, may := range table {
		for do := range strings.FieldsSeq("allow hold ignore refuse retry-later last-resort hide slow drop") {
			text := fmt.Sprintf("version: 1\nrules: [{name: r, at: %s, then: %s}]", at, do)
			_, err := rules.Parse(rules.Source{Name: "p", Text: []byte(text), Now: now})
			if allowed := strings.Contains(" "+may+" ", " "+do+" "); allowed != (err == nil) {
				t.Errorf("%s at %s: %v", do, at, err)
			}
		}
	}
	if err := rules.Allowed(rules.Group, rules.Refuse); !strings.Contains(err.Error(), "breaks the epoch ratchet for everyone in the group") {
		t.Error(err)
	}
}

// What cannot act on a message is passed over: a commit is never turned away or held by a rule.
func TestOnlyInvitationsAreTurnedAway(t *testing.T) {
	for do, kinds := range map[rules.Action]string{
		rules.Hold: "welcome", rules.Ignore: "welcome key_fetch", rules.Refuse: "welcome key_fetch",
		rules.RetryLater: "welcome key_fetch", rules.LastResort: "key_fetch",
	} {
		p := parse(t, fmt.Sprintf("version: 1\nrules: [{name: r, at: contact, then: %s}]", do))
		for kind := range strings.FieldsSeq("welcome commit proposal application group_info key_package key_fetch") {
			c := rules.Given()
			c.Msg.Kind = kind
			if v, acts := p.Decide(&c, now), strings.Contains(kinds, kind); acts != (v.Action == do) || acts != (v.Rule == "r") {
				t.Errorf("%s: a %s gets %+v", do, kind, v)
			}
		}
	}
}

// TestSameConditionElsewhere: rules that ask for the same load when the second one can decide all the same.
func TestSameConditionElsewhere(t *testing.T) {
	const same = `when: 'actor.domain in lists.wave && msg.bytes > 1000'`
	for name, both := range map[string][2]string{
		"another stage":          {`{name: a, at: contact, %s, then: ignore}`, `{name: b, at: group, %s, then: hide}`},
		"the first has a limit":  {`{name: a, at: contact, %s, limit: few, then: ignore}`, `{name: b, at: contact, %s, then: hold}`},
		"the first is a shadow":  {`{name: a, at: contact, %s, mode: shadow, then: ignore}`, `{name: b, at: contact, %s, then: hold}`},
		"the first acts on less": {`{name: a, at: contact, %s, then: hold}`, `{name: b, at: contact, %s, then: ignore}`},
		"a lower number":         {`{name: a, at: group, when: 'msg.bytes > 1000', then: hide}`, `{name: b, at: group, when: 'msg.bytes >= 1000', then: slow}`},
		"a higher number":        {`{name: a, at: group, when: '1000 > msg.bytes', then: hide}`, `{name: b, at: group, when: 'msg.bytes <= 1000', then: slow}`},
		"another direction":      {`{name: a, at: group, when: 'msg.bytes < 1000', then: hide}`, `{name: b, at: group, when: 'msg.bytes > 10', then: slow}`},
		"another variable":       {`{name: a, at: send, when: 'msg.recipients > 5', then: refuse}`, `{name: b, at: send, when: 'msg.hosts > 9', then: retry-later}`},
		"one number":             {`{name: a, at: send, when: 'msg.hosts == 5', then: refuse}`, `{name: b, at: send, when: 'msg.hosts >= 5', then: retry-later}`},
		"all but one number":     {`{name: a, at: send, when: 'msg.hosts != 5', then: refuse}`, `{name: b, at: send, when: 'msg.hosts < 6', then: retry-later}`},
		"a calculation":          {`{name: a, at: send, when: 'msg.hosts * 2 > 5', then: refuse}`, `{name: b, at: send, when: 'msg.hosts * 3 > 9', then: retry-later}`},
		"numbers too large":      {`{name: a, at: group, when: 'msg.bytes >= 9007199254740993', then: hide}`, `{name: b, at: group, when: 'msg.bytes == 9007199254740992', then: slow}`},
		"a second asks for less": {`{name: a, at: group, %s, then: hide}`, `{name: b, at: group, when: 'actor.domain in lists.wave', then: hide}`},
	} {
		text := "version: 1\nlists: {wave: [spam.example]}\nlimits: {few: {max: 5, every: 1d, per: [actor]}}\nrules:\n"
		for _, one := range both {
			text += "  - " + strings.Replace(one, "%s", same, 1) + "\n"
		}
		if _, err := rules.Parse(rules.Source{Name: "p", Text: []byte(text), Now: now}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
