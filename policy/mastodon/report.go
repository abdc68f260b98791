package mastodon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"unicode/utf8"
)

const (
	maxComment  = 1000 // characters, Mastodon's limit and GoToSocial's
	maxReported = 10   // ids that are looked up for one report
)

// What Report refuses by itself, and what the instance does.
var (
	ErrReport        = errors.New("mastodon: the report cannot be made")
	ErrReportRefused = errors.New("mastodon: the instance does not take the report")
)

// Report puts a report into the instance's queue in the name of whose token it is: about the first of
// the actors named whom the instance knows or can find, with a comment. It is not forwarded to the
// actor's own server. ErrReport, ErrReportRefused, ErrScope, ErrToken, ErrUnavailable.
func (r *Relations) Report(ctx context.Context, token string, about []string, comment string) error {
	if n := utf8.RuneCountInString(comment); n > maxComment {
		return fmt.Errorf("%w: moderators take at most %d characters, this has %d", ErrReport, maxComment, n)
	}
	a, err := r.reported(ctx, about[:min(len(about), maxReported)], token)
	if err != nil {
		return err
	}
	reply, err := r.upstream.ask(ctx, question{path: "/api/v1/reports", token: token, form: url.Values{
		"account_id": {a.ID}, "comment": {comment}, "category": {"other"}, "forward": {"false"},
	}})
	if err != nil {
		return err
	}
	switch {
	case reply.status == http.StatusOK:
		return nil
	case reply.status == http.StatusUnauthorized:
		return ErrToken
	case reply.status == http.StatusForbidden:
		return &ScopeError{Missing: []string{"write:reports"}}
	case reply.status >= http.StatusInternalServerError, reply.status == http.StatusTooManyRequests:
		return fmt.Errorf("%w: it answers %d to a report", ErrUnavailable, reply.status)
	}
	return fmt.Errorf("%w: it answers %d", ErrReportRefused, reply.status)
}

// reported is the account of the first actor that there is one for.
func (r *Relations) reported(ctx context.Context, about []string, token string) (account, error) {
	for _, id := range about {
		a, err := r.remote(ctx, id, token)
		if errors.Is(err, ErrNoPerson) {
			a, err = r.resolve(ctx, id, token)
		}
		if err == nil || !errors.Is(err, ErrNoPerson) {
			return a, err
		}
	}
	return account{}, fmt.Errorf("%w: the instance finds nobody of those named in object: name the actor", ErrReport)
}

// resolve has the instance fetch an actor it does not know yet, as its own search does. A token that may
// not search finds nobody.
func (r *Relations) resolve(ctx context.Context, actor, token string) (account, error) {
	reply, err := r.upstream.ask(ctx, question{path: "/api/v2/search", token: token, query: url.Values{
		"q": {actor}, "type": {"accounts"}, "resolve": {"true"}, "limit": {"1"},
	}})
	if err != nil {
		return account{}, err
	}
	if reply.nobody() || reply.refused() {
		return account{}, ErrNoPerson
	}
	var found struct {
		Accounts []account `json:"accounts"`
	}
	if err := reply.into(&found); err != nil {
		return account{}, err
	}
	for _, a := range found.Accounts {
		if a.ID != "" && cmp.Or(a.URI, a.URL) == actor {
			r.remotes.Set(actor, remoteAnswer{a, r.clock()})
			return a, nil
		}
	}
	return account{}, ErrNoPerson
}
