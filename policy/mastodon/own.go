package mastodon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"
)

const (
	aboutSelf    = "self"    // on the shelf: what a person said of others
	aboutDomains = "domains" // what the instance said of other servers
	maxMarks     = 7_000     // of each of a person's lists; the newest
	maxPages     = 100       // of one list
	selfRewrite  = 24 * time.Hour
)

// own is what a person told their instance about others, when it was last asked.
type own struct {
	At             time.Time
	Blocked, Muted marks // actors
	Domains        marks
	Notify         notify

	until time.Time // when it is asked for again
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
		r.keepOwn(ctx, account, &next)
	}
}

func (o *own) same(other *own) bool {
	return bytes.Equal(o.Blocked, other.Blocked) && bytes.Equal(o.Muted, other.Muted) &&
		bytes.Equal(o.Domains, other.Domains) && o.Notify == other.Notify
}

func (r *Relations) keepOwn(ctx context.Context, account string, o *own) {
	value, err := json.Marshal(o)
	if err != nil {
		panic("bug: a person's lists are not JSON: " + err.Error())
	}
	r.keep(ctx, account, aboutSelf, value)
}

// askOwn fills o. What a token may not ask, or the software does not have, stays as it was; the error
// says that the instance is away or the token over.
func (r *Relations) askOwn(ctx context.Context, account, token string, o *own) error {
	for _, list := range []struct {
		path  string
		limit string
		into  *marks
	}{
		{"/api/v1/blocks", "80", &o.Blocked},
		{"/api/v1/mutes", "80", &o.Muted},
		{"/api/v1/domain_blocks", "200", &o.Domains},
	} {
		found, err := r.askMarks(ctx, account, question{path: list.path, query: url.Values{"limit": {list.limit}}, token: token})
		if errors.Is(err, errNotHere) {
			continue
		}
		if err != nil {
			return err
		}
		*list.into = newMarks(found, maxMarks)
	}
	var n notify
	err := r.askOne(ctx, account, question{path: "/api/v2/notifications/policy", token: token}, &n)
	if err == nil {
		o.Notify = n
	}
	if errors.Is(err, errNotHere) {
		return nil
	}
	return err
}

// errNotHere: this instance or this token does not give it.
var errNotHere = errors.New("mastodon: the instance does not tell")

// askMarks reads a paged list of accounts, or of domains.
func (r *Relations) askMarks(ctx context.Context, account string, q question) ([]mark, error) {
	var found []mark
	err := r.upstream.pages(ctx, q, func(reply answer) error {
		if err := r.tells(account, reply); err != nil {
			return err
		}
		var list []listed
		if err := reply.into(&list); err != nil {
			return err
		}
		for _, one := range list {
			found = append(found, markOf(string(one)))
		}
		return nil
	})
	return found, err
}

// tells is errNotHere for what is not there or not allowed, ErrToken for a token that is over.
func (r *Relations) tells(account string, reply answer) error {
	err := r.refusal(account, reply)
	if reply.gone() || errors.Is(err, ErrScope) {
		return errNotHere
	}
	return err
}

func (r *Relations) askOne(ctx context.Context, account string, q question, into any) error {
	reply, err := r.upstream.ask(ctx, q)
	if err != nil {
		return err
	}
	if err := r.tells(account, reply); err != nil {
		return err
	}
	return reply.into(into)
}

// listed is an entry of a person's list: a domain, or the actor id of an account.
type listed string

// UnmarshalJSON takes both forms. Where an account has no uri, its url must do.
func (l *listed) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, (*string)(l)) == nil {
		return nil
	}
	var a account
	if err := json.Unmarshal(b, &a); err != nil {
		return err
	}
	*l = listed(or(a.URI, a.URL))
	return nil
}
