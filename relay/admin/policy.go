package admin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
)

// maxCandidate bounds a policy that is sent to be replayed, packed with its lists.
const maxCandidate = 256 << 20

// Refusal is the answer to a command that could not be done.
type Refusal struct {
	Error    string           `json:"error"`
	Problems []*rules.Problem `json:"problems,omitempty"`
}

// policyCommands are what `sealgate policy` asks:
//
//	GET  /policy                               policy.Status
//	POST /policy/reload                        policy.Change; 204 when nothing has changed
//	POST /policy/rollback?change={id}          the same
//	GET  /policy/history?change={id}           []policy.Change, newest first; all without change
//	GET  /policy/text?change={id}              the file
//	GET  /policy/diff?change={id}              text
//	GET  /policy/explain?id={id}               policy.Explanation
//	GET  /policy/explain?given={name=value}…   the same of a case that is made up
//	GET  /policy/tally?since={duration}        policy.Tally; rule and mode choose
//	POST /policy/replay?since={duration}&name= policy.Replay of the policy.Candidate sent, packed; of nothing: the configured one
func (a *Admin) policyCommands(mux *http.ServeMux, b *policy.Book) {
	handle := func(pattern string, do func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := do(r)
			a.answerPolicy(w, v, err)
		})
	}
	handle("GET /policy", func(*http.Request) (any, error) { return b.Status(), nil })
	handle("POST /policy/reload", func(r *http.Request) (any, error) { return b.Reload(r.Context(), "command") })
	handle("POST /policy/rollback", func(r *http.Request) (any, error) {
		return b.Rollback(r.Context(), r.FormValue("change"), "command")
	})
	handle("GET /policy/history", func(r *http.Request) (any, error) { return history(r, b) })
	handle("GET /policy/text", func(r *http.Request) (any, error) {
		text, err := b.Text(r.Context(), r.FormValue("change"))
		return string(text), err
	})
	handle("GET /policy/diff", func(r *http.Request) (any, error) { return b.Diff(r.Context(), r.FormValue("change")) })
	handle("GET /policy/explain", func(r *http.Request) (any, error) { return explain(r, b) })
	handle("GET /policy/tally", func(r *http.Request) (any, error) { return tally(r, b) })
	handle("POST /policy/replay", func(r *http.Request) (any, error) { return replay(r, b) })
}

func history(r *http.Request, b *policy.Book) (any, error) {
	all, err := b.Changes(r.Context())
	all = slices.DeleteFunc(all, func(c policy.Change) bool { return other(r, "change", c.ID) })
	if id := r.FormValue("change"); err == nil && id != "" && len(all) == 0 {
		err = fmt.Errorf("%w: %q", policy.ErrNoChange, id)
	}
	return all, err
}

func tally(r *http.Request, b *policy.Book) (any, error) {
	since, err := sinceOf(r)
	if err != nil {
		return nil, err
	}
	t, err := b.Tally(r.Context(), since)
	t.Rules = slices.DeleteFunc(t.Rules, func(one policy.RuleTally) bool {
		return other(r, "rule", one.Rule) || other(r, "mode", one.Mode)
	})
	name := r.FormValue("rule")
	isNamed := func(one rules.Rule) bool { return one.Name == name }
	if err == nil && name != "" && len(t.Rules) == 0 && !slices.ContainsFunc(b.Current().Rules(), isNamed) {
		err = fmt.Errorf("there is no rule %q: sealgate policy status has all names", name)
	}
	return t, err
}

// other says whether a query asks for something else.
func other(r *http.Request, key, value string) bool {
	want := r.FormValue(key)
	return want != "" && want != value
}

func explain(r *http.Request, b *policy.Book) (any, error) {
	if id := r.FormValue("id"); id != "" {
		return b.Explain(r.Context(), id)
	}
	c := rules.Given()
	for _, one := range r.Form["given"] {
		name, value, _ := strings.Cut(one, "=")
		if err := c.Set(name, value); err != nil {
			return nil, err
		}
	}
	return b.ExplainCase(&c), nil
}

func replay(r *http.Request, b *policy.Book) (any, error) {
	since, err := sinceOf(r)
	if err != nil {
		return nil, err
	}
	c, err := policy.Unpack(r.FormValue("name"), http.MaxBytesReader(nil, r.Body, maxCandidate))
	if err != nil {
		return nil, err
	}
	return b.Replay(r.Context(), since, c)
}

func sinceOf(r *http.Request) (time.Time, error) {
	d, err := time.ParseDuration(r.FormValue("since"))
	return time.Now().Add(-d), err
}

func (a *Admin) answerPolicy(w http.ResponseWriter, v any, err error) {
	switch {
	case err == nil:
		a.answer(w, http.StatusOK, v)
	case errors.Is(err, policy.ErrSame):
		w.WriteHeader(http.StatusNoContent)
	case errors.Is(err, policy.ErrNoDecision), errors.Is(err, policy.ErrNoChange):
		a.answer(w, http.StatusNotFound, Refusal{Error: err.Error()})
	default:
		a.answer(w, http.StatusUnprocessableEntity, Refusal{Error: err.Error(), Problems: rules.Problems(err)})
	}
}
