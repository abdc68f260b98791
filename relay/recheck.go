package relay

import (
	"context"

	"github.com/sealgate/sealgate/policy/mastodon"
)

// stillOwner is nil while the token still opens the mailbox of p. What the
// instance said longer ago than half a heartbeat does not count, so that a stream
// outlives its token by less than two heartbeats.
func (r *Relay) stillOwner(ctx context.Context, token string, p mastodon.Person) error {
	caller, err := r.people.CallerWithin(ctx, token, r.heartbeat/2)
	if err != nil {
		return err
	}
	if caller.Account != p.Account {
		return errNotOwner
	}
	return caller.MayRead()
}
