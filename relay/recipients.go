package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/policy/mastodon"
)

// addressed are the local people an activity is for. waiting is set when the
// instance could not say about somebody: they must be asked about again.
type addressed struct {
	owners  []inbox.Owner
	waiting error
}

// recipients resolves everybody on our host whom the activity names, and the
// owner of the personal inbox it came to. Whom the instance does not know is
// left out; collections are nobody.
func (r *Relay) recipients(ctx context.Context, a *activity.Activity, path []byte) (addressed, error) {
	ids := r.localIDs(a)
	if owner := r.inboxOwner(path); owner != "" {
		ids = append(ids, owner)
	}
	if limit := r.limits.Keys; limit > 0 && len(ids) > limit {
		return addressed{}, fmt.Errorf("%w: it names %d local recipients, over limits.json_keys (%d)",
			activity.ErrMalformed, len(ids), limit)
	}
	var to addressed
	round := r.people.Round()
	for _, id := range ids {
		p, err := round.Person(ctx, id)
		switch {
		case err == nil:
			if owner := inbox.Owner(p.Account); !slices.Contains(to.owners, owner) {
				to.owners = append(to.owners, owner)
			}
		case !errors.Is(err, mastodon.ErrNoPerson):
			to.waiting = err
		}
	}
	return to, nil
}

func (r *Relay) localIDs(a *activity.Activity) []string {
	return slices.DeleteFunc(a.Recipients(), func(id string) bool {
		return activity.IsPublic(id) || !r.isLocal(id)
	})
}

// inboxOwner is the id of the actor whose personal inbox a path is, or "".
func (r *Relay) inboxOwner(path []byte) string {
	plain := normalise(nil, path)
	if actor, ok := r.named.load()[string(plain)]; ok {
		return actor
	}
	owner, isPersonal := bytes.CutSuffix(plain, []byte("/inbox"))
	if !isPersonal || len(owner) == 0 || string(owner) == "/actor" {
		return ""
	}
	u := url.URL{Scheme: schemeOf(r.base), Host: r.domain, Path: string(owner)}
	return u.String()
}

func schemeOf(base string) string {
	scheme, _, _ := strings.Cut(base, "://")
	return scheme
}
