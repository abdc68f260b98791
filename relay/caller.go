package relay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
)

// caller says who shows a token, whoever issued it. Every part of the front asks here, each time a
// token is used and again while a stream lasts: a revoked one is found out within a minute.
func (r *Relay) caller(ctx context.Context, token string) (mastodon.Caller, error) {
	if r.issued(token) {
		return r.signIn.server.Caller(ctx, token)
	}
	return r.people.Caller(ctx, token)
}

// callerNow is caller with an answer of the instance's that is young.
func (r *Relay) callerNow(ctx context.Context, token string) (mastodon.Caller, error) {
	if r.issued(token) {
		return r.signIn.server.Caller(ctx, token)
	}
	return r.people.CallerWithin(ctx, token, r.heartbeat/2)
}

// issued tells whether a token is one of our own: the instance does not know it.
func (r *Relay) issued(token string) bool { return r.signIn != nil && oauth.IsToken(token) }

// asker is the caller by the token that a request shows.
func (r *Relay) asker(work context.Context, ctx *fasthttp.RequestCtx) (mastodon.Caller, error) {
	token, ok := r.shown(ctx)
	if !ok {
		return mastodon.Caller{}, errNoToken
	}
	return r.caller(work, token)
}

// reader is an asker whose token may read.
func (r *Relay) reader(work context.Context, ctx *fasthttp.RequestCtx) (mastodon.Caller, error) {
	caller, err := r.asker(work, ctx)
	if err != nil {
		return caller, err
	}
	return caller, caller.MayRead()
}

// owner is the caller, when the name in the URL is theirs and the token may read.
func (r *Relay) owner(work context.Context, ctx *fasthttp.RequestCtx, name string) (mastodon.Caller, error) {
	token, ok := r.shown(ctx)
	if !ok {
		return mastodon.Caller{}, errNoToken
	}
	return r.ownerWith(work, token, name)
}

// ownerWith is the owner by the token, wherever it came from.
func (r *Relay) ownerWith(work context.Context, token, name string) (mastodon.Caller, error) {
	caller, err := r.caller(work, token)
	if err != nil {
		return mastodon.Caller{}, err
	}
	if !strings.EqualFold(caller.Name, name) {
		return mastodon.Caller{}, errNotOwner
	}
	return caller, caller.MayRead()
}

// stillOwner is nil while the token still opens the mailbox of p. What the
// instance said longer ago than half a heartbeat does not count, so that a stream
// outlives its token by less than two heartbeats.
func (r *Relay) stillOwner(ctx context.Context, token string, p mastodon.Person) error {
	caller, err := r.callerNow(ctx, token)
	if err != nil {
		return err
	}
	if caller.Account != p.Account {
		return errNotOwner
	}
	return caller.MayRead()
}

// readerName tells a person's devices apart: by the device that signed in here, or
// by the hash of the instance's token, of which each is taken for a device.
func (r *Relay) readerName(ctx context.Context, token string) (string, error) {
	if r.issued(token) {
		id, err := r.signIn.server.Device(ctx, token)
		return "device " + id, err
	}
	sum := sha256.Sum256([]byte(token))
	return "token " + hex.EncodeToString(sum[:16]), nil
}
