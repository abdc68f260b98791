package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sealgate/sealgate/policy"
)

func sayf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }

func showStatus(w io.Writer, s policy.Status) {
	sayf(w, "policy %s (%s), mode %s, in force since %s, loaded by %s", s.Policy, s.Name, s.Mode, s.Since.Format(time.RFC3339), s.By)
	sayf(w, "%d rules, %d tests pass", len(s.Rules), s.Tests)
	for _, r := range s.Rules {
		text := fmt.Sprintf("  %-8s %-18s %-12s %s", r.At, r.Name, r.Then, r.When)
		if r.Limit != "" {
			text += "  over " + r.Limit
		}
		if r.Mode != s.Mode {
			text += "  [" + r.Mode + "]"
		}
		sayf(w, "%s", text)
	}
	for _, l := range s.Lists {
		sayf(w, "  list %s: %d domains", l.Name, l.Domains)
	}
	for _, text := range s.Warnings {
		sayf(w, "note: %s", text)
	}
	for _, p := range s.Failure {
		sayf(w, "not loaded: %v", p)
	}
}

func showChange(w io.Writer, c policy.Change) {
	sayf(w, "%s  %s  by %s  %s", c.ID, c.Time.Format(time.RFC3339), c.Who, cmp.Or(c.Policy, "-"))
	sayf(w, "    %s", strings.ReplaceAll(c.Result, "\n", "\n    "))
	if c.Diff != "" {
		sayf(w, "    %s", strings.ReplaceAll(strings.TrimSuffix(c.Diff, "\n"), "\n", "\n    "))
	}
}

func showExplanation(w io.Writer, x policy.Explanation) {
	if d := x.Decided; d != nil {
		sayf(w, "decision %s at %s: %s by %s (policy %s, mode %s)", d.ID, d.Time.Format(time.RFC3339), d.Action, cmp.Or(d.Rule, "no rule"), d.Policy, d.Mode)
		sayf(w, "  a %s at %s from %s, relation %s, up to %d bytes", cmp.Or(d.Case.Msg.Kind, "message"), d.Case.At, cmp.Or(d.Case.Actor.Domain, "nobody known"), d.Case.Rel, d.Case.Msg.Bytes)
		for _, s := range d.Shadow {
			sayf(w, "  in shadow: %s would %s", s.Rule, s.Action)
		}
	}
	sayf(w, "rules of policy %s:", x.Policy)
	for _, s := range x.Steps {
		sayf(w, "  %-18s %-12s %s", s.Rule, s.Then, s.Answer)
	}
	sayf(w, "now: %s by %s", x.Action, cmp.Or(x.Rule, "no rule"))
	if x.Sentence != "" {
		sayf(w, "they read: %s", x.Sentence)
	}
	if x.Note != "" {
		sayf(w, "note: %s", x.Note)
	}
}

func showTally(w io.Writer, t policy.Tally) {
	sayf(w, "%d decisions since %s", t.Entries, t.Since.Format(time.RFC3339))
	if len(t.Rules) == 0 {
		sayf(w, "no rule in mode shadow has matched")
	}
	for _, r := range t.Rules {
		sayf(w, "%s would %s %d times: %d senders, %d groups; last decision %s", r.Rule, r.Action, r.Count, r.People, r.Groups, r.Last)
		showDomains(w, r.Domains)
	}
}

func showReplay(w io.Writer, r policy.Replay) {
	sayf(w, "%d decisions since %s, policy %s against %s", r.Entries, r.Since.Format(time.RFC3339), r.New, r.Old)
	if len(r.Flips) == 0 {
		sayf(w, "none would be another")
	}
	for _, f := range r.Flips {
		sayf(w, "%d of %s at %s: %s instead of %s; %d senders, %d groups", f.Count, f.Kind, f.At, f.Now, f.Was, f.People, f.Groups)
		showDomains(w, f.Domains)
	}
	for _, text := range r.Warnings {
		sayf(w, "note: %s", text)
	}
}

func showDomains(w io.Writer, all []policy.DomainCount) {
	for _, d := range all {
		sayf(w, "  %6d  %s", d.Count, d.Domain)
	}
}
