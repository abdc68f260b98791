package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/sealgate/sealgate/authority"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy/mastodon"
)

// resolved is everybody an activity is for.
type resolved struct {
	owners []inbox.Owner
	remote []recipient
}

// elsewhere are the ids of those who are not here.
func (r resolved) elsewhere() []string {
	var ids []string
	for _, one := range r.remote {
		ids = append(ids, one.id)
	}
	return ids
}

// recipient is an actor elsewhere; the address is empty while it is not known.
type recipient struct {
	id    string
	blind bool // the activity does not name them (bto, bcc, or only an object does): a shared inbox could not tell that it is theirs
	to    address
}

func (o *Outbox) resolve(ctx context.Context, d *draft) (resolved, error) {
	var out resolved
	var nobody error
	round, named := o.people.Round(), d.activity.Named()
	for _, id := range d.recipients {
		if !o.people.IsLocal(id) {
			if authority.Of(id) == "" {
				return out, fmt.Errorf("%w: the recipient %.200q is not an https address of an actor", ErrMalformed, id)
			}
			out.remote = append(out.remote, recipient{id: id, blind: !slices.Contains(named, id)})
			continue
		}
		p, err := round.Person(ctx, id)
		if errors.Is(err, mastodon.ErrNoPerson) {
			nobody = fmt.Errorf("%w: the recipient %.200q is nobody here; an encrypted message is for actors", ErrMalformed, id)
			if errors.Is(err, mastodon.ErrGone) {
				continue
			}
			return out, nobody
		}
		if err != nil {
			return out, err
		}
		if owner := inbox.Owner(p.Account); !slices.Contains(out.owners, owner) {
			out.owners = append(out.owners, owner)
		}
	}
	if len(out.owners)+len(out.remote) == 0 {
		return out, nobody
	}
	return out, o.locate(ctx, out.remote)
}

// locate finds the inboxes of those elsewhere, all at once and not for long. Who is gone keeps the message from nobody: clients
// may learn of it only when its delivery is given up.
func (o *Outbox) locate(ctx context.Context, list []recipient) error {
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(16)
	for i := range list {
		group.Go(func() error {
			to, err := o.actors.find(ctx, list[i].id)
			if errors.Is(err, errNotActor) && !errors.Is(err, errGone) {
				return fmt.Errorf("%w: the recipient %.200q cannot be written to: %w", ErrMalformed, list[i].id, err)
			}
			if err == nil {
				list[i].to = to
			}
			return nil
		})
	}
	return group.Wait()
}
