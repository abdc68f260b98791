package page

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/sealgate/sealgate/policy"
)

// deed changes something, and says where to go then.
type deed func(p *Page, r *http.Request, s *session) (next string, err error)

// act does what a form of ours asks.
func (p *Page) act(w http.ResponseWriter, r *http.Request, who func(*http.Request) (*session, error), do deed) {
	s, err := who(r)
	if err == nil {
		err = p.genuine(w, r, s)
	}
	if err != nil {
		p.refuse(w, err)
		return
	}
	next, err := do(p, r, s)
	switch {
	case errors.Is(err, policy.ErrSame):
		http.Redirect(w, r, "/page/changes?done=same", http.StatusSeeOther)
	case err != nil:
		p.fail(w, http.StatusConflict, "Nothing was changed. "+err.Error())
	default:
		http.Redirect(w, r, next, http.StatusSeeOther)
	}
}

// who is how the change log names the operator.
func (s *session) who() string { return "page, " + s.Name }

func done(what string) string {
	return map[string]string{
		"loaded": "Done: the policy below is in force.", "undone": "Undone: the policy before is in force again.",
		"same": "That policy is in force already: nothing has changed.",
	}[what]
}

func (p *Page) applyPreset(r *http.Request, s *session) (string, error) {
	text, err := p.opt.Preset(r.PostForm.Get("name"))
	if err != nil {
		return "", err
	}
	_, err = p.opt.Policy.Replace(r.Context(), text, s.who())
	return "/page/changes?done=loaded", err
}

func (p *Page) undo(r *http.Request, s *session) (string, error) {
	_, err := p.opt.Policy.Rollback(r.Context(), r.PostForm.Get("change"), s.who())
	return "/page/changes?done=undone", err
}

// domainName is what can be written into a rule as it is.
var domainName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?$`)

// ignoreDomain puts a rule first that drops new contact from a domain.
func (p *Page) ignoreDomain(r *http.Request, s *session) (string, error) {
	text, err := withRule(p.opt.Policy.Current().Text(), r.PostForm.Get("domain"))
	if err == nil {
		_, err = p.opt.Policy.Replace(r.Context(), text, s.who())
	}
	return "/page/changes?done=loaded", err
}

var rulesLine = regexp.MustCompile(`(?m)^rules:[ \t]*(#.*)?\n`)

// ruleFor is the line that withRule writes.
func ruleFor(domain string) string {
	name := "no-" + strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(domain, "-"), "-")
	return fmt.Sprintf("  - {name: %s, at: contact, when: 'actor.domain == %q', then: ignore}\n", name[:min(len(name), 60)], domain)
}

func withRule(text []byte, domain string) ([]byte, error) {
	if !domainName.MatchString(domain) {
		return nil, fmt.Errorf("%q is not a domain", domain)
	}
	at := rulesLine.FindIndex(text)
	if at == nil {
		return nil, errors.New("the policy file has no line \"rules:\" to write behind: edit it by hand")
	}
	return bytes.Join([][]byte{text[:at[1]], []byte(ruleFor(domain)), text[at[1]:]}, nil), nil
}
