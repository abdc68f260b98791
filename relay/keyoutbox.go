package relay

import (
	"context"
	"errors"
	"slices"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/relay/outbox"
)

// keysPerPackage is how many JSON keys a published package may have on average.
const keysPerPackage = 40

// outboxLimits leave room for a batch of key_packages.max_per_device.
func (r *Relay) outboxLimits() activity.Limits {
	l := r.limits
	if l.Keys > 0 {
		l.Keys = max(l.Keys, keysPerPackage*(r.keys.MaxPerDevice()+1))
	}
	return l
}

// submitKeys carries out what is about key packages. False: it is about something
// else, or cannot be told from it, and the outbox judges.
func (r *Relay) submitKeys(work context.Context, ctx *fasthttp.RequestCtx, who mastodon.Caller, body []byte) (isOurs bool, err error) {
	if r.keys == nil {
		return false, nil
	}
	a, err := activity.Parse(body, r.outboxLimits())
	if err != nil && !errors.Is(err, activity.ErrNotMLS) || a != nil && !isAboutKeys(a) {
		return false, nil
	}
	k, err := r.keyPost(work, who.Person, a, body)
	if err != nil || k == nil {
		return a != nil, err
	}
	if err := r.anew(work, ctx); err != nil {
		return true, err
	}
	done, err := k.carryOut(work, a)
	if err != nil {
		return true, named(err)
	}
	created(ctx, done.location, done.activity, done.body)
	return true, nil
}

// cannotSend is the answer of a gateway without an outbox.
func (r *Relay) cannotSend(body []byte) error {
	if _, err := activity.Parse(body, r.limits); errors.Is(err, activity.ErrNotMLS) {
		return errNotOurs
	}
	return errNoOutbox
}

// anew asks once more whose token this is, and not from memory: one that was
// revoked a moment ago publishes nothing.
func (r *Relay) anew(work context.Context, ctx *fasthttp.RequestCtx) error {
	if token, ok := r.shown(ctx); ok {
		r.people.Forget(token)
	}
	_, err := r.poster(work, ctx)
	return err
}

// isOwn tells whether an id is the person's, in any spelling.
func (r *Relay) isOwn(ctx context.Context, id string, p mastodon.Person) bool {
	if id == p.Actor {
		return true
	}
	other, err := r.people.Person(ctx, id)
	return err == nil && r.people.IsLocal(id) && other.Account == p.Account
}

// consumeSent takes out of the directory what Welcomes to people here have used.
// They are sent already: what cannot be done now is only said.
func (r *Relay) consumeSent(work context.Context, posted outbox.Posted) {
	if r.keys == nil {
		return
	}
	a, err := activity.Parse(posted.Body, r.limits)
	if err != nil || len(inbox.WelcomeRefs(a)) == 0 {
		return
	}
	owners := slices.DeleteFunc(slices.Clone(posted.Owners), func(o inbox.Owner) bool {
		_, err := r.inbox.Find(work, o, posted.ID)
		return errors.Is(err, inbox.ErrNotFound) // it waits there, or was not wanted
	})
	if err := r.keys.Consume(work, owners, inbox.WelcomeRefs(a)); err != nil {
		r.log.Warn("key packages of a sent Welcome could not be consumed", "error", err)
	}
}
