package relay

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay/forward"
	"github.com/sealgate/sealgate/relay/outbox"
)

var (
	errNotOurs  = errors.New("relay: what was posted is not MLS")
	errEmpty    = errors.New("relay: nothing was posted")
	errNoOutbox = errors.New("relay: no outbox")
)

// isOutbox tells whether a path is a person's outbox. Only what is posted there
// is ours; reading it is the instance's.
func isOutbox(path []byte) bool { return bytes.HasSuffix(withoutSlash(path), []byte("/outbox")) }

func withoutSlash(path []byte) []byte { return bytes.TrimSuffix(path, []byte("/")) }

// outboxPost answers a POST to a person's outbox (ActivityPub §6).
func (r *Relay) outboxPost(work context.Context, ctx *fasthttp.RequestCtx) error {
	body, err := r.readActivity(ctx)
	if err != nil {
		return err
	}
	defer r.bodies.put(body) // Submit keeps nothing of it
	who, err := r.poster(work, ctx)
	if err != nil {
		return err
	}
	if r.leaving() {
		return errLeaving
	}
	if err := r.meetPoster(work, ctx, who); err != nil {
		return err
	}
	leave, err := r.intake.Enter(rules.Group, forward.ClientAddr(ctx), body.Len())
	if err != nil {
		return err
	}
	defer leave()
	return r.submit(work, ctx, who, body.Bytes())
}

// meetPoster has messages wait for the device that posts: one that publishes a key
// package is about to be invited, and may read only then.
func (r *Relay) meetPoster(work context.Context, ctx *fasthttp.RequestCtx, who mastodon.Caller) error {
	token, _ := r.shown(ctx)
	_, err := r.opened(work, r.mailboxOf(who.Person), token)
	return err
}

// poster is the caller, when the outbox is theirs and the token may write.
func (r *Relay) poster(work context.Context, ctx *fasthttp.RequestCtx) (mastodon.Caller, error) {
	caller, err := r.asker(work, ctx)
	if err != nil {
		return caller, err
	}
	path := unescaped(strings.TrimSuffix(string(withoutSlash(pathOf(ctx.Request.Header.RequestURI()))), "/outbox"))
	owner, err := r.people.Person(work, r.idAt(path))
	if errors.Is(err, mastodon.ErrNoPerson) || err == nil && owner.Account != caller.Account {
		return caller, errNotOwner
	}
	if err != nil {
		return caller, err
	}
	return caller, caller.MayWrite()
}

// submit sends what was posted and answers 201 as interop.md has it.
func (r *Relay) submit(work context.Context, ctx *fasthttp.RequestCtx, who mastodon.Caller, body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return errEmpty
	}
	if whole, err := outbox.Complete(body, who.Actor); err == nil {
		body = whole
	} // what is no JSON is judged below
	if isFlag, err := r.report(work, ctx, who, body); isFlag || err != nil {
		return err
	}
	if isOurs, err := r.submitKeys(work, ctx, who, body); isOurs || err != nil {
		return err
	}
	if r.outbox == nil {
		return r.cannotSend(body)
	}
	token, _ := r.shown(ctx)
	device, err := r.readerName(work, token)
	if err != nil {
		return err
	}
	posted, err := r.outbox.Submit(work, who.Person, device, body)
	if errors.Is(err, activity.ErrNotMLS) {
		return errNotOurs
	}
	if err != nil {
		return err
	}
	r.consumeSent(work, posted)
	created(ctx, posted.ID, posted.ID, posted.Body)
	return nil
}

// created answers 201. location is what was made: the activity, but for a key
// package the package.
func created(ctx *fasthttp.RequestCtx, location, id string, body []byte) {
	kind := activityJSON
	accept := wanted(&ctx.Request.Header)
	if containsFold(accept, "application/json") && !containsFold(accept, activityJSON) {
		kind = "application/json"
	}
	ctx.Response.Header.Set(fasthttp.HeaderLocation, location)
	ctx.Response.Header.Set("X-Activity-Id", id)
	write(ctx, reply{status: fasthttp.StatusCreated, kind: kind, cache: "no-store", body: body})
}

// sentDocument answers GET /e2ee/activities/{id} and /e2ee/objects/{id}: to the
// sender and the recipients, by token or signature; there is nothing for others.
func (r *Relay) sentDocument(work context.Context, ctx *fasthttp.RequestCtx, d destination) error {
	if r.outbox == nil {
		return errNotOwner
	}
	reader, err := r.participant(work, ctx)
	if err != nil {
		return err
	}
	find := r.outbox.Activity
	if d.route == routeObjects {
		find = r.outbox.Object
	}
	doc, err := find(work, string(d.name), reader)
	if err == nil {
		writeActivity(ctx, "private, no-store", doc)
	}
	return err
}

// participant is who asks. Nobody in particular is not told whether there is
// something to be asked for.
func (r *Relay) participant(work context.Context, ctx *fasthttp.RequestCtx) (outbox.Reader, error) {
	if _, ok := r.shown(ctx); ok {
		caller, err := r.reader(work, ctx)
		return outbox.Reader{Owner: inbox.Owner(caller.Account), Actor: caller.Actor}, err
	}
	if !isSigned(&ctx.Request.Header) {
		return outbox.Reader{}, outbox.ErrNotSent
	}
	signer, err := r.gate.Admit(work, r.arrival(ctx, nil))
	return outbox.Reader{Actor: signer.Actor}, err
}
