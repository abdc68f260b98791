package relay

import (
	"context"

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
