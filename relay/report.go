package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
)

// Reporter hands a report to the instance's moderators; *mastodon.Relations is the real one.
type Reporter interface {
	Report(ctx context.Context, token string, about []string, comment string) error
}

// report takes a Flag (ActivityStreams §3.4.8) that a client posted to the outbox: its own words, and
// whom they are about. It goes to the instance's moderators with the reporter's token and is not kept,
// read or scanned here. false: it is no Flag.
func (r *Relay) report(work context.Context, ctx *fasthttp.RequestCtx, who mastodon.Caller, body []byte) (bool, error) {
	p, err := readPosted(body)
	if err != nil || p.kind != "Flag" {
		return false, nil //nolint:nilerr // what cannot be read is judged by whoever comes next
	}
	if r.reporter == nil {
		return true, fmt.Errorf("%w: this gateway takes no reports", errNoOutbox)
	}
	if p.actor != who.Actor {
		return true, fmt.Errorf("%w: the actor of a Flag must be you", errOthers)
	}
	token, err := r.instanceToken(work, ctx, who)
	if err == nil {
		err = r.reporter.Report(work, token, p.reported(), p.TextOf("content"))
	}
	if err != nil {
		return true, err
	}
	id := r.activityURL(inbox.NewID())
	created(ctx, id, id, p.withIDs(id, nil))
	return true, nil
}

// instanceToken is the caller's token of the instance: the one shown, or what the instance gave when they
// signed in here.
func (r *Relay) instanceToken(work context.Context, ctx *fasthttp.RequestCtx, who mastodon.Caller) (string, error) {
	token, _ := r.shown(ctx)
	if !r.issued(token) {
		return token, nil
	}
	login, err := r.signIn.server.Login(work, who.Account)
	if errors.Is(err, oauth.ErrNone) {
		return "", mastodon.ErrToken
	}
	return login, err
}

// reported are the ids a Flag is about: of the authors of what it has in object, then of the objects.
func (p *posted) reported() []string {
	return slices.DeleteFunc(slices.Concat(p.authors, p.names), func(id string) bool { return id == "" })
}
