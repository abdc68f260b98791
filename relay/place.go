package relay

import (
	"context"
	"errors"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay/outbox"
)

// place is where an activity lies in a mailbox, or inbox.ErrNotFound. A client may
// also name what it posted by the id that it minted itself: its own copy lies under
// the one that it was given here.
func (r *Relay) place(ctx context.Context, box mailbox, id string) (inbox.Position, error) {
	p, err := r.inbox.Find(ctx, box.owner, id)
	if r.outbox == nil || !errors.Is(err, inbox.ErrNotFound) {
		return p, err
	}
	given, aliasErr := r.outbox.Alias(ctx, string(box.owner), id)
	if errors.Is(aliasErr, outbox.ErrNotSent) {
		return p, err
	}
	if aliasErr != nil {
		return 0, aliasErr
	}
	return r.inbox.Find(ctx, box.owner, given)
}
