package relay

import (
	"context"

	"github.com/sealgate/sealgate/policy/mastodon"
)

// caller says who shows a token, whoever issued it. Every part of the front asks here, each time a
// token is used and again while a stream lasts: a revoked one is found out within a minute.
func (r *Relay) caller(ctx context.Context, token string) (mastodon.Caller, error) {
	return r.people.Caller(ctx, token)
}
