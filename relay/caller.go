package relay

import (
	"context"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
)

// caller says who shows a token, whoever issued it. Every part of the front asks here, each time a
// token is used and again while a stream lasts: a revoked one is found out within a minute.
func (r *Relay) caller(ctx context.Context, token string) (mastodon.Caller, error) {
	if r.signIn != nil && oauth.IsToken(token) {
		return r.signIn.server.Caller(ctx, token)
	}
	return r.people.Caller(ctx, token)
}
