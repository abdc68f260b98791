package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/mls"
	"github.com/sealgate/sealgate/policy/mastodon"
)

// isAboutKeys tells whether every MLS object of an activity is a key package: by
// its type, or where that names none, by its bytes.
func isAboutKeys(a *activity.Activity) bool {
	return !slices.ContainsFunc(a.Objects, func(o activity.Object) bool { return !isKeyPackage(o) })
}

func isKeyPackage(o activity.Object) bool {
	if slices.Contains(o.Types, "KeyPackage") {
		return true
	}
	for _, t := range o.Types {
		switch t {
		case "PublicMessage", "PrivateMessage", "Welcome", "GroupInfo":
			return false
		}
	}
	m, err := mls.Parse(o.Content)
	return err == nil && m.KeyPackage != nil
}

// keyPost is one activity about key packages, on its way through.
type keyPost struct {
	r        *Relay
	shelf    keyShelf
	activity string // the last part of its URL
	*posted
}

// keyPost reads an activity about key packages. a is nil when the body has no MLS in
// it: then only Add, Remove and Delete of what is in the directory are ours, and for
// all else there is no keyPost.
func (r *Relay) keyPost(ctx context.Context, p mastodon.Person, a *activity.Activity, body []byte) (*keyPost, error) {
	what, err := readPosted(body)
	if err != nil && a == nil {
		return nil, nil //nolint:nilnil // not ours
	}
	if err != nil {
		return nil, err
	}
	k := &keyPost{r: r, shelf: r.shelfOf(p), activity: inbox.NewID(), posted: what}
	if a == nil {
		if isOurs, err := k.isOurs(ctx); err != nil || !isOurs {
			return nil, err
		}
	}
	if k.actor != "" && !r.isOwn(ctx, k.actor, p) {
		return nil, fmt.Errorf("%w: the activity's actor is %q", errOthers, k.actor)
	}
	return k, nil
}

// isOurs tells whether something without MLS is about the directory: by its target,
// by the form of its objects' ids, or because the person called a package so.
func (k *keyPost) isOurs(ctx context.Context) (bool, error) {
	if !slices.Contains([]string{"Add", "Remove", "Delete"}, k.kind) {
		return false, nil
	}
	users := k.r.base + "/e2ee/users/"
	if strings.HasPrefix(k.target, users) && strings.HasSuffix(k.target, "/keyPackages") {
		return true, nil
	}
	pool, err := k.r.keys.Pool(ctx, k.shelf.owner)
	if err != nil {
		return false, err
	}
	for _, name := range k.names {
		if strings.HasPrefix(name, users) && strings.Contains(name, "/keyPackages/") {
			return true, nil
		}
		id, err := k.id(name)
		if err == nil && pool.Has(id) {
			return true, nil
		}
	}
	return false, nil
}

// accepted is what came of an activity about key packages.
type accepted struct {
	location, activity string
	body               []byte
}

func (k *keyPost) carryOut(ctx context.Context, a *activity.Activity) (accepted, error) {
	if k.target != "" && k.target != k.shelf.url && !strings.EqualFold(k.target, k.shelf.url) {
		return accepted{}, fmt.Errorf("%w: the target is %q, your own collection is %q", errOthers, k.target, k.shelf.url)
	}
	switch k.kind {
	case "Create":
		return k.create(ctx, a)
	case "Update":
		return k.update(ctx, a)
	case "Add":
		return k.each(func(id string) error { return k.r.keys.List(ctx, k.shelf.owner, k.shelf.person.Actor, id) })
	case "Remove", "Delete":
		return k.each(func(id string) error { return k.r.keys.Remove(ctx, k.shelf.owner, k.shelf.person.Actor, id) })
	}
	return accepted{}, fmt.Errorf("%w: key packages are published with Create, Add, Update, Remove and Delete, not %q", errPosted, k.kind)
}

func (k *keyPost) create(ctx context.Context, a *activity.Activity) (accepted, error) {
	p, err := k.publication(ctx, a)
	if err != nil {
		return accepted{}, err
	}
	kept, err := k.r.keys.Publish(ctx, p)
	if err != nil {
		return accepted{}, err
	}
	k.again(kept)
	done := k.answer(k.shelf.urls(kept))
	return done, k.copyToOwner(ctx, kept, done.body)
}

// again answers an activity that was carried out before with what it was called then.
func (k *keyPost) again(kept []inbox.Package) {
	isOther := func(p inbox.Package) bool { return p.Activity != kept[0].Activity }
	if len(kept) > 0 && !slices.ContainsFunc(kept, isOther) {
		k.activity = kept[0].Activity
	}
}

// copyToOwner puts a proposal into its owner's mailbox, where their other devices
// find it and may Add it; a public package is for whoever reads the collection.
func (k *keyPost) copyToOwner(ctx context.Context, kept []inbox.Package, body []byte) error {
	if !slices.ContainsFunc(kept, func(p inbox.Package) bool { return p.State == inbox.Proposed }) {
		return nil
	}
	a, err := activity.Parse(body, k.r.outboxLimits())
	if err != nil {
		return fmt.Errorf("copy a proposal to its owner: %w", err)
	}
	results, err := k.r.inbox.Accept(ctx, inbox.Delivery{Signer: a.Actor, Activity: a, Owners: []inbox.Owner{k.shelf.owner}})
	if err == nil && results[0].Err != nil && !errors.Is(results[0].Err, inbox.ErrDuplicate) {
		err = results[0].Err
	}
	return err
}

func (k *keyPost) update(ctx context.Context, a *activity.Activity) (accepted, error) {
	p, err := k.publication(ctx, a)
	if err != nil {
		return accepted{}, err
	}
	id, err := k.id(a.Objects[0].ID)
	if err != nil {
		return accepted{}, err
	}
	kept, err := k.r.keys.Renew(ctx, p, id)
	if err != nil {
		return accepted{}, err
	}
	k.again([]inbox.Package{kept})
	done := k.answer([]string{k.shelf.item(kept.ID)})
	return done, k.copyToOwner(ctx, []inbox.Package{kept}, done.body)
}

// each does f for every object that the activity names.
func (k *keyPost) each(f func(id string) error) (accepted, error) {
	if len(k.names) == 0 {
		return accepted{}, fmt.Errorf("%w: it names no object", errPosted)
	}
	for _, name := range k.names {
		id, err := k.id(name)
		if err == nil {
			err = f(id)
		}
		if err != nil {
			return accepted{}, err
		}
	}
	return k.answer(nil), nil
}

// answer names what was made. A client finds one new or renewed package behind
// Location, and for anything else the activity.
func (k *keyPost) answer(objects []string) accepted {
	self := k.r.activityURL(k.activity)
	a := accepted{location: self, activity: self, body: k.withIDs(self, objects)}
	if len(objects) == 1 && k.kind == "Create" {
		a.location = objects[0]
	}
	return a
}

func (r *Relay) activityURL(id string) string { return r.base + "/e2ee/activities/" + id }

// publication reads what a Create or an Update carries.
func (k *keyPost) publication(ctx context.Context, a *activity.Activity) (inbox.Publication, error) {
	p := inbox.Publication{Owner: k.shelf.owner, Actor: k.shelf.person.Actor, Activity: k.activity}
	if a == nil || len(a.Objects) != len(k.objects) {
		return p, fmt.Errorf("%w: its key packages stand where this server does not look for them: "+
			"put one, a list or a Collection of them in object", errPosted)
	}
	isPublic := slices.ContainsFunc(a.Named(), activity.IsPublic)
	now := k.r.clock()
	for i, o := range a.Objects {
		if o.AttributedTo != "" && !k.r.isOwn(ctx, o.AttributedTo, k.shelf.person) {
			return p, fmt.Errorf("%w: object %d is attributed to %q", errOthers, i+1, o.AttributedTo)
		}
		u := inbox.Upload{
			ID: inbox.NewID(), Aliases: []string{a.ID, o.ID}, Name: deviceName(k.objects[i], o, a), Package: o.Content,
			Content: itemOf(k.objects[i], o, k.shelf.person.Actor, now),
			Public:  slices.ContainsFunc(o.To, activity.IsPublic) || len(o.To) == 0 && isPublic,
		}
		if a.Type == "Update" {
			u.Aliases = []string{a.ID}
		}
		p.Uploads = append(p.Uploads, u)
	}
	return p, nil
}

// id takes from a URL of ours what the directory calls a package or its activity;
// what the client named itself stays as it is.
func (k *keyPost) id(name string) (string, error) {
	if rest, ok := strings.CutPrefix(name, k.r.activityURL("")); ok {
		return rest, nil
	}
	rest, ok := strings.CutPrefix(name, k.r.base+"/e2ee/users/")
	if !ok {
		return name, nil
	}
	whose, id, ok := strings.Cut(rest, "/keyPackages/")
	if !ok || !strings.EqualFold(unescaped(whose), k.shelf.person.Name) {
		return "", fmt.Errorf("%w: %q is no key package of yours", errOthers, name)
	}
	return id, nil
}

// named makes the rules of package mls recognisable to the table of answers.
func named(err error) error {
	for _, rule := range [...]error{
		mls.ErrSource, mls.ErrKey, mls.ErrSameKey, mls.ErrSignatureKey, mls.ErrDuplicateExtension, mls.ErrCapabilities,
		mls.ErrIdentity, mls.ErrCertificate, mls.ErrLifetime, mls.ErrNotYetValid, mls.ErrExpired, mls.ErrLeafSignature,
		mls.ErrPackageSignature,
	} {
		if errors.Is(err, rule) {
			return fmt.Errorf("%w: %w", errKeyRule, err)
		}
	}
	return err
}
