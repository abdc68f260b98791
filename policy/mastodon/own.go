package mastodon

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	aboutSelf   = "self" // on the shelf: what a person said of others
	maxMarks    = 7_000  // of each of a person's lists; the newest
	maxPages    = 100    // of one list
	selfRewrite = 24 * time.Hour
)

// own is what a person told their instance about others, when it was last asked.
type own struct {
	At                      time.Time
	Blocked, Muted, Domains list
	Notify                  notify
	Permitted               marks     // actors whose notifications the person lets through whatever Notify says
	Waiting                 []waiting // who might become one of them

	until time.Time // when it is asked for again
}

// list is one of a person's lists. At is zero while the instance has not shown it.
type list struct {
	At      time.Time `json:",omitzero"`
	Marks   marks     `json:",omitempty"`
	Partial bool      `json:",omitempty"` // it is longer: of whom it does not name nothing is known
}

// says goes by the younger of two answers: the list, and what the instance said of one actor at asked.
func (l list) says(asked time.Time, then bool, names ...mark) bool {
	if !l.At.After(asked) {
		return then
	}
	return slices.ContainsFunc(names, l.Marks.has) || l.Partial && then
}

func (l list) same(other list) bool {
	return bytes.Equal(l.Marks, other.Marks) && l.Partial == other.Partial && l.At.IsZero() == other.At.IsZero()
}

// lists is what is remembered of a person; the instance is asked in the background when that is due.
func (r *Relations) lists(ctx context.Context, account string) *own {
	known, ok := r.people.GetIfPresent(account)
	if !ok {
		known = &own{}
		if value := r.kept(ctx, account, aboutSelf); value != nil && json.Unmarshal(value, known) != nil {
			known = &own{}
		}
		r.people.Set(account, known)
	}
	if !r.clock().Before(known.until) && !r.isRefused() {
		select {
		case r.due <- account:
		default:
		}
	}
	return known
}

// refreshPerson asks the instance about a person, unless it was asked just now. What it does not tell
// stays as it was.
func (r *Relations) refreshPerson(ctx context.Context, account string) {
	old := r.lists(ctx, account)
	now := r.clock()
	if now.Before(old.until) || r.isRefused() {
		return
	}
	next := *old
	next.until = now.Add(relationFresh)
	token, err := r.token(ctx, account)
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		next.At = now
		err = r.askOwn(ctx, account, token, &next)
	}
	if err != nil {
		r.noteAway(err)
		r.logRefusal("lists", err)
		next = *old
		next.until = now.Add(relationRetry)
	}
	r.people.Set(account, &next)
	if err == nil && (!next.same(old) || now.Sub(old.At) > selfRewrite) {
		r.keep(ctx, account, aboutSelf, jsonOf(&next))
	}
}

func (o *own) same(other *own) bool {
	return o.Blocked.same(other.Blocked) && o.Muted.same(other.Muted) && o.Domains.same(other.Domains) &&
		o.Notify == other.Notify && bytes.Equal(o.Permitted, other.Permitted) && slices.Equal(o.Waiting, other.Waiting)
}

// askOwn fills o. What a token may not ask, or the software does not have, stays as it was; the error
// says that the instance is away or the token over.
func (r *Relations) askOwn(ctx context.Context, account, token string, o *own) error {
	for _, one := range []struct {
		path  string
		limit string
		into  *list
	}{
		{"/api/v1/blocks", "80", &o.Blocked},
		{"/api/v1/mutes", "80", &o.Muted},
		{"/api/v1/domain_blocks", "200", &o.Domains},
	} {
		found, isAll, err := r.askMarks(ctx, account, question{path: one.path, query: url.Values{"limit": {one.limit}}, token: token})
		if errors.Is(err, errNotHere) {
			continue
		}
		if err != nil {
			return err
		}
		*one.into = list{At: o.At, Marks: newMarks(found, maxMarks), Partial: !isAll || len(found) > maxMarks}
	}
	err := r.askNotifications(ctx, account, token, o)
	if errors.Is(err, errNotHere) {
		return nil
	}
	return err
}

// errNotHere: this instance or this token does not give it.
var errNotHere = errors.New("mastodon: the instance does not tell")

// askMarks reads a paged list of accounts, or of domains; isAll says whether it ended.
func (r *Relations) askMarks(ctx context.Context, account string, q question) (found []mark, isAll bool, err error) {
	isAll, err = r.upstream.pages(ctx, q, maxPages, func(reply answer) error {
		var page []listed
		if err := r.decode(account, reply, &page); err != nil {
			return err
		}
		for _, one := range page {
			found = append(found, markOf(string(one)))
		}
		return nil
	})
	return found, isAll, err
}

// errTooOften: a person's token has asked as often as it may, which is no matter of others.
var errTooOften = errors.New("mastodon: the token has asked too often")

// tells is errNotHere for what this software does not have or the token may not ask, ErrToken for a token that
// is over (snac: 422), errTooOften. What else is no answer is an instance that is away.
func (r *Relations) tells(account string, reply answer) error {
	switch s := reply.status; {
	case s == http.StatusUnauthorized, s == http.StatusUnprocessableEntity:
		r.tokens.Invalidate(account)
		return ErrToken
	case s == http.StatusTooManyRequests && account != "":
		return errTooOften
	case s == http.StatusTooManyRequests, s == http.StatusRequestTimeout:
		return nil
	case s >= 400 && s < 500, s == http.StatusNotImplemented:
		return errNotHere
	}
	return nil
}

func (r *Relations) askOne(ctx context.Context, account string, q question, into any) error {
	reply, err := r.upstream.ask(ctx, q)
	if err != nil {
		return err
	}
	return r.decode(account, reply, into)
}

// decode is answer.into for what tells something at all.
func (r *Relations) decode(account string, reply answer, into any) error {
	if err := r.tells(account, reply); err != nil {
		return err
	}
	return reply.into(into)
}

// listed is an entry of a person's list: a domain, or the actor id of an account, or its address
// (zoe@far.example) where the software shows no ids (GoToSocial).
type listed string

// UnmarshalJSON takes all forms.
func (l *listed) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, (*string)(l)) == nil {
		return nil
	}
	var a account
	if err := json.Unmarshal(b, &a); err != nil {
		return err
	}
	*l = listed(cmp.Or(a.URI, strings.ToLower(a.Acct)))
	return nil
}
