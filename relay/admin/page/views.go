package page

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
)

const (
	day       = 24 * time.Hour
	logKept   = 7 * day
	shownRows = 100
)

func (p *Page) overview(r *http.Request, _ *session) (string, any, error) {
	t, err := p.tally(r.Context(), day)
	if err != nil {
		return "overview", nil, err
	}
	waiting, err := p.waiting(r.Context())
	worst := t.worst()
	return "overview", map[string]any{
		"Status": p.opt.Policy.Status(), "Tally": t, "OK": t.By[delivered], "Wait": t.By[waits], "No": t.By[turned],
		"Worst": worst[:min(len(worst), 3)], "Waiting": waiting, "Flows": p.flows(), "Leaving": p.opt.Leaving(),
	}, err
}

// ruled is a rule with what it did.
type ruled struct {
	rules.Rule
	hits

	IsShadow bool
}

func (p *Page) rules(r *http.Request, _ *session) (string, any, error) {
	t, err := p.tally(r.Context(), day)
	s := p.opt.Policy.Status()
	list := make([]ruled, len(s.Rules))
	matched := 0
	for i, one := range s.Rules {
		list[i] = ruled{Rule: one, IsShadow: one.Mode == rules.ShadowMode || s.Mode == rules.ShadowMode}
		if h := t.Rules[one.Name]; h != nil {
			list[i].hits = *h
			matched += h.Acted
		}
	}
	return "rules", map[string]any{"Rules": list, "Status": s, "Tally": t, "None": t.Total - matched, "MayReplace": p.opt.Policy.MayReplace()}, err
}

func (p *Page) domains(r *http.Request, _ *session) (string, any, error) {
	t, err := p.tally(r.Context(), logKept)
	worst := t.worst()
	return "domains", map[string]any{
		"Domains": worst[:min(len(worst), shownRows)], "All": len(worst), "IsCut": t.IsCut,
	}, err
}

// domain shows one server, and what would have been if everything new from it had been dropped.
func (p *Page) domain(r *http.Request, _ *session) (string, any, error) {
	name := r.URL.Query().Get("name")
	t, err := p.tally(r.Context(), logKept)
	if err != nil {
		return "domain", nil, err
	}
	d := t.Domains[name]
	if d == nil {
		return "domain", nil, errNothing
	}
	on := p.opt.Policy.Current().On(name, p.opt.Clock())
	return "domain", map[string]any{
		"D": d, "OK": d.By[delivered], "Wait": d.By[waits], "No": d.By[turned], "On": on, "Rules": byCount(d.Rules),
		"MayReplace": p.opt.Policy.MayReplace() && domainName.MatchString(name),
	}, nil
}

// counted is a name and how often.
type counted struct {
	Name  string
	Times int
}

func byCount(m map[string]int) []counted {
	var list []counted
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, counted{name, m[name]})
	}
	slices.SortStableFunc(list, func(a, b counted) int { return b.Times - a.Times })
	return list
}

func (p *Page) requests(r *http.Request, _ *session) (string, any, error) {
	waiting, err := p.waiting(r.Context())
	return "requests", waiting, err
}

// explain says what every rule in force says about a decision of the log.
func (p *Page) explain(r *http.Request, _ *session) (string, any, error) {
	id := r.URL.Query().Get("id")
	if id == "" {
		return "explain", map[string]any{"ID": ""}, nil
	}
	var found *policy.Entry
	err := p.opt.Entries(r.Context(), p.opt.Clock().Add(-logKept), func(e policy.Entry) bool {
		if e.ID == id {
			found = &e
		}
		return found == nil
	})
	if err != nil || found == nil {
		return "explain", map[string]any{"ID": id}, err
	}
	now := p.opt.Policy.Current()
	steps, verdict := now.Explain(&found.Case, found.Time)
	return "explain", map[string]any{
		"ID": id, "Entry": found, "Steps": steps, "Verdict": verdict, "IsSame": now.Hash() == found.Policy,
		"Sentence": found.Sentence(),
	}, nil
}

func (p *Page) deliveries(*http.Request, *session) (string, any, error) {
	return "deliveries", p.flows(), nil
}

func (p *Page) changes(r *http.Request, _ *session) (string, any, error) {
	list, err := p.opt.Policy.Changes(r.Context())
	current, inForce := p.opt.Policy.Current().Hash(), ""
	if i := slices.IndexFunc(list, func(c policy.Change) bool { return c.Policy == current }); i >= 0 {
		inForce = list[i].ID
	}
	return "changes", map[string]any{
		"Changes": list[:min(len(list), shownRows)], "Current": current, "InForce": inForce,
		"MayReplace": p.opt.Policy.MayReplace(), "Status": p.opt.Policy.Status(),
	}, err
}

// preset says what another policy would have decided about the last 24 hours, before anything is changed.
func (p *Page) preset(r *http.Request, _ *session) (string, any, error) {
	name := r.URL.Query().Get("name")
	text, err := p.opt.Preset(name)
	if err != nil {
		return "preset", nil, errNothing
	}
	now := p.opt.Clock()
	other, err := rules.Parse(rules.Source{Name: name, Text: text, Now: now})
	if err != nil {
		return "preset", nil, err
	}
	flips, total := map[string]int{}, 0
	people := set{}
	err = p.opt.Entries(r.Context(), now.Add(-day), func(e policy.Entry) bool {
		total++
		if v := other.Decide(&e.Case, e.Time); v.Action != e.Action {
			flips[fmt.Sprintf("%s instead of %s", v.Action, e.Action)]++
			people.add(e.Case.Recipient)
		}
		return total < maxEntries
	})
	return "preset", map[string]any{
		"Name": name, "Rules": other.Public(), "Flips": byCount(flips), "Total": total, "People": len(people),
		"MayReplace": p.opt.Policy.MayReplace(),
	}, err
}

func (p *Page) public(*http.Request, *session) (string, any, error) {
	return "public", map[string]any{"Rules": p.opt.Policy.Current().Public(), "Retention": p.opt.Retention}, nil
}
