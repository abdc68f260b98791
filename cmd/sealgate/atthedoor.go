package main

import (
	"context"
	"fmt"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/relay/admin"
	"github.com/sealgate/sealgate/relay/admin/page"
	"github.com/sealgate/sealgate/storage"
)

// doorkeeper answers the operator for what waits at people's mailboxes.
type doorkeeper struct {
	store *storage.Store
	inbox *inbox.Inbox
}

// people are the one called name, or everybody.
func (d doorkeeper) people(ctx context.Context, name string) ([]mastodon.Person, error) {
	if name == "" {
		return d.store.People(ctx)
	}
	p, err := whom(ctx, d.store, name)
	return []mastodon.Person{p}, err
}

// List implements admin.Door.
func (d doorkeeper) List(ctx context.Context, name string) (admin.RequestList, error) {
	out := admin.RequestList{Requests: []admin.Request{}, Severed: []admin.Severing{}}
	people, err := d.people(ctx, name)
	if err != nil {
		return out, err
	}
	names := map[inbox.Owner]string{}
	for _, p := range people {
		names[inbox.Owner(p.Account)] = p.Name
		all, err := d.inbox.Requests(ctx, inbox.Owner(p.Account))
		if err != nil {
			return out, err
		}
		for _, w := range all {
			out.Requests = append(out.Requests, admin.Request{
				ID: w.ID, Person: p.Name, Actor: w.Actor, Since: w.Since, Ends: w.Ends, Messages: w.Messages, Bytes: w.Bytes,
			})
		}
	}
	for _, s := range d.inbox.SeveredList() {
		if of, known := names[s.Owner]; known || s.Owner == "" {
			out.Severed = append(out.Severed, admin.Severing{Who: s.Who, Person: of, Done: true, At: s.At, By: s.By, Affected: []admin.Affected{}})
		}
	}
	return out, nil
}

// waiting calls do for every request of everybody, as the operator's page counts them.
func (d doorkeeper) waiting(ctx context.Context, do func(page.Waiting)) error {
	people, err := d.store.People(ctx)
	for _, p := range people {
		if err != nil {
			break
		}
		var all []inbox.Waiting
		all, err = d.inbox.Requests(ctx, inbox.Owner(p.Account))
		for _, w := range all {
			do(page.Waiting{Since: w.Since, Domain: w.Host, Messages: w.Messages})
		}
	}
	return err
}

// Decide implements admin.Door.
func (d doorkeeper) Decide(ctx context.Context, name, id, action string) error {
	p, err := whom(ctx, d.store, name)
	if err != nil {
		return err
	}
	switch action {
	case "accept":
		return d.inbox.AcceptRequest(ctx, inbox.Owner(p.Account), id)
	case "drop":
		return d.inbox.DropRequest(ctx, inbox.Owner(p.Account), id)
	}
	return fmt.Errorf("%q is neither accept nor drop", action)
}

// Sever implements admin.Door.
func (d doorkeeper) Sever(ctx context.Context, s admin.Severing) (admin.Severing, error) {
	var err error
	if s.Who, err = inbox.Whom(s.Who); err != nil {
		return s, err
	}
	people, err := d.people(ctx, s.Person)
	if err != nil {
		return s, err
	}
	names := map[inbox.Owner]string{}
	var owners []inbox.Owner
	for _, p := range people {
		o := inbox.Owner(p.Account)
		owners, names[o] = append(owners, o), p.Name
	}
	contacts, err := d.inbox.ContactsOf(ctx, s.Who, owners)
	if err != nil {
		return s, err
	}
	s.Affected = []admin.Affected{}
	var affected []inbox.Owner
	for _, c := range contacts {
		s.Affected = append(s.Affected, admin.Affected{Person: names[c.Owner], Groups: c.Groups, Requests: c.Requests})
		affected = append(affected, c.Owner)
	}
	if !s.Done {
		return s, nil
	}
	one := inbox.Severed{Who: s.Who, By: s.By}
	if s.Person != "" {
		one.Owner = owners[0]
	}
	return s, d.inbox.Sever(ctx, one, affected)
}

// Rejoin implements admin.Door.
func (d doorkeeper) Rejoin(ctx context.Context, s admin.Severing) (admin.Severing, error) {
	one := inbox.Severed{By: s.By}
	var err error
	if one.Who, err = inbox.Whom(s.Who); err != nil {
		return s, err
	}
	if s.Person != "" {
		p, err := whom(ctx, d.store, s.Person)
		if err != nil {
			return s, err
		}
		one.Owner = inbox.Owner(p.Account)
	}
	s.Who, s.Undone = one.Who, true
	return s, d.inbox.Rejoin(ctx, one)
}

// audit has the change log say who was cut off and who no longer is. It names nobody here, and of a person's own
// choice only the host.
func audit(book *policy.Book) func(context.Context, inbox.Severed, bool) {
	return func(ctx context.Context, s inbox.Severed, undone bool) {
		did, from, whom := "severed", s.Who, "everybody"
		if undone {
			did = "no longer severed"
		}
		if s.Owner != "" {
			from, whom = inbox.HostOf(s.Who), "one person"
		}
		book.NoteSevering(ctx, s.By, did+": "+from+", for "+whom)
	}
}
