package mastodon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const activityJSON = "application/activity+json"

// personAnswer is what was found out about one subject. Unknown ones are kept
// too, briefly.
type personAnswer struct {
	person Person
	err    error // ErrNoPerson, or ErrGone which is one
	at     time.Time
}

func (a personAnswer) known() bool { return a.err == nil }

func (a personAnswer) fresh(now time.Time) bool {
	keep := unknownFresh
	if a.known() {
		keep = personFresh
	}
	return now.Sub(a.at) < keep
}

// account is the part of Mastodon's Account that matters here. URI is absent on
// snac and GoToSocial, and on Mastodon before 4.2.
type account struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Acct     string `json:"acct"`
	URI      string `json:"uri"`

	// Of remote accounts.
	URL       string    `json:"url"`
	Limited   bool      `json:"limited"`   // present on Mastodon when true
	Suspended bool      `json:"suspended"` // likewise
	Bot       bool      `json:"bot"`
	CreatedAt time.Time `json:"created_at"`
}

// actor is the part of an actor document that matters here.
type actor struct {
	ID                string `json:"id"`
	PreferredUsername string `json:"preferredUsername"`
	Inbox             string `json:"inbox"`
	Outbox            string `json:"outbox"`
}

// Person finds the local person an id names: an actor URL on our host in any of
// its spellings, whatever the case of the name, or a bare username. One question
// per id is in flight. ErrNoPerson when the instance knows nobody by it, ErrGone when it once did;
// ErrUnavailable when it cannot be asked and nothing is remembered.
func (i *Instance) Person(ctx context.Context, id string) (Person, error) {
	s, err := i.read(id)
	if err != nil {
		return Person{}, err
	}
	if a, ok := i.persons.GetIfPresent(s.key()); ok && a.fresh(i.clock()) {
		return a.person, a.err
	}
	return once(ctx, i, "person "+s.key(), func(ctx context.Context) (Person, error) {
		if a, ok := i.persons.GetIfPresent(s.key()); ok && a.fresh(i.clock()) {
			return a.person, a.err // it was answered since
		}
		return i.refresh(ctx, s)
	})
}

// ForgetPerson drops what is remembered of p in memory: the next question asks the instance, and keeps the answer in
// the Register anew.
func (i *Instance) ForgetPerson(p Person) {
	for key, a := range i.persons.All() {
		if a.known() && a.person.Account == p.Account {
			i.persons.Invalidate(key)
		}
	}
}

// refresh asks the instance and keeps the answer; without one, the last known
// holds.
func (i *Instance) refresh(ctx context.Context, s subject) (Person, error) {
	p, err := i.find(ctx, s)
	switch {
	case err == nil:
		i.remember(ctx, p)
	case errors.Is(err, ErrNoPerson):
		if _, recalled := i.recall(ctx, s, err); recalled == nil {
			err = ErrGone
		}
		i.persons.Set(s.key(), personAnswer{err: err, at: i.clock()})
		return Person{}, err
	default:
		p, err = i.recall(ctx, s, err)
	}
	return p, err
}

// recall is the answer while the instance is away: what memory still has, then
// the register. cause is returned when neither knows the subject.
func (i *Instance) recall(ctx context.Context, s subject, cause error) (Person, error) {
	if a, ok := i.persons.GetIfPresent(s.key()); ok && a.known() {
		return a.person, nil
	}
	if i.register == nil {
		return Person{}, cause
	}
	p, err := i.register.Recall(ctx, s.key())
	if err != nil {
		return Person{}, cause
	}
	return p, nil
}

// remember keeps a person under every key, on disk only when something changed.
func (i *Instance) remember(ctx context.Context, p Person) {
	for _, key := range p.Keys() {
		i.persons.Set(key, personAnswer{person: p, at: i.clock()})
	}
	if i.register == nil {
		return
	}
	if old, err := i.register.Recall(ctx, "#"+p.Account); err == nil && old == p {
		return
	}
	if err := i.register.Remember(ctx, p); err != nil {
		i.log.Warn("a local person could not be kept on disk", "error", err)
	}
}

// find asks the instance who the subject is.
func (i *Instance) find(ctx context.Context, s subject) (Person, error) {
	software, err := i.softwareName(ctx)
	if err != nil {
		return Person{}, err
	}
	if software == SoftwareSnac || software == SoftwareGoToSocial {
		return i.byWebFinger(ctx, s)
	}
	if s.page != "" {
		if s.name, err = i.webFingerName(ctx, s.page); err != nil {
			return Person{}, err
		}
	}
	a, err := i.lookup(ctx, s)
	if err != nil {
		return Person{}, err
	}
	return i.describe(ctx, a)
}

// lookup asks Mastodon's API, which is open even under authorized fetch.
func (i *Instance) lookup(ctx context.Context, s subject) (account, error) {
	q := question{path: "/api/v1/accounts/lookup", query: url.Values{"acct": {s.name}}}
	if s.name == "" {
		q = question{path: "/api/v1/accounts/" + s.account}
	}
	reply, err := i.upstream.ask(ctx, q)
	if err != nil {
		return account{}, err
	}
	if reply.gone() {
		return account{}, ErrNoPerson
	}
	var a account
	if err := reply.into(&a); err != nil {
		return account{}, fmt.Errorf("look up a local account: %w", err)
	}
	// /api/v1/accounts/{id} knows remote people too; their acct has a domain.
	if a.Username == "" || a.ID == "" || strings.Contains(a.Acct, "@") {
		return account{}, ErrNoPerson
	}
	return a, nil
}

// describe completes a Mastodon account to a Person.
func (i *Instance) describe(ctx context.Context, a account) (Person, error) {
	if a.URI == "" {
		uri, err := i.webFingerActor(ctx, a.Username)
		if err != nil {
			return Person{}, err
		}
		a.URI = uri
	}
	if u, err := url.Parse(a.URI); err != nil || !i.local(u) {
		return Person{}, fmt.Errorf("%w: it calls a local person %q: domain must be the host in that id, not %q",
			ErrUnavailable, a.URI, i.domain)
	}
	p := Person{Account: a.ID, Name: a.Username, Actor: a.URI, Inbox: a.URI + "/inbox", Outbox: a.URI + "/outbox"}
	doc, err := i.actor(ctx, a.URI)
	if err == nil && doc.ID == a.URI {
		p.Inbox, p.Outbox = cmp.Or(doc.Inbox, p.Inbox), cmp.Or(doc.Outbox, p.Outbox)
	}
	return p, nil // under authorized fetch the document is 401 and Mastodon's own paths hold
}

// byWebFinger is for software without an open lookup: WebFinger names the actor,
// and its document the rest. GoToSocial shows only a stub to the unsigned, so
// inbox and outbox may have to be Mastodon's.
func (i *Instance) byWebFinger(ctx context.Context, s subject) (Person, error) {
	if s.account != "" {
		return Person{}, ErrNoPerson
	}
	uri := s.page
	if s.name != "" {
		var err error
		if uri, err = i.webFingerActor(ctx, s.name); err != nil {
			return Person{}, err
		}
	}
	doc, err := i.actor(ctx, uri)
	if err != nil {
		return Person{}, err
	}
	name := cmp.Or(doc.PreferredUsername, s.name)
	if doc.ID != uri || !username.MatchString(name) {
		return Person{}, ErrNoPerson
	}
	return Person{
		Account: strings.ToLower(name), Name: name, Actor: uri,
		Inbox: cmp.Or(doc.Inbox, uri+"/inbox"), Outbox: cmp.Or(doc.Outbox, uri+"/outbox"),
	}, nil
}

// actor reads an actor document of our own host.
func (i *Instance) actor(ctx context.Context, id string) (actor, error) {
	u, err := url.Parse(id)
	if err != nil || !i.local(u) {
		return actor{}, ErrNoPerson
	}
	reply, err := i.upstream.ask(ctx, question{path: u.EscapedPath(), accept: activityJSON})
	if err != nil {
		return actor{}, err
	}
	if reply.gone() || reply.status == http.StatusMovedPermanently || reply.status == http.StatusFound {
		return actor{}, ErrNoPerson
	}
	var doc actor
	if reply.status == http.StatusOK && !json.Valid(reply.body) {
		return actor{}, ErrNoPerson // a page that has no ActivityPub form
	}
	err = reply.into(&doc)
	return doc, err
}
