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

// Enrolled says whether somebody has ever published a key package here, or is signed in: nobody else has a device
// that could read anything.
type Enrolled func(context.Context, inbox.Owner) (bool, error)

// whoCanRead leaves out who is not enrolled. The gateway's own test messages go to everybody.
func (r *Relay) whoCanRead(ctx context.Context, owners []inbox.Owner, signer string) ([]inbox.Owner, error) {
	if r.enrolled == nil || signer == OwnActor(r.base) {
		return owners, nil
	}
	var able []inbox.Owner
	for _, o := range owners {
		is, err := r.enrolled(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("find out who can read: %w", err)
		}
		if is {
			able = append(able, o)
		}
	}
	return able, nil
}

func (r *Relay) localIDs(a *activity.Activity) []string {
	return slices.DeleteFunc(a.Recipients(), func(id string) bool {
		return !r.people.IsLocal(id)
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
	return r.idAt(string(owner))
}

// idAt is the id of what the instance has at a path, which is unescaped.
func (r *Relay) idAt(path string) string {
	u := url.URL{Scheme: schemeOf(r.base), Host: r.domain, Path: path}
	return u.String()
}

func schemeOf(base string) string {
	scheme, _, _ := strings.Cut(base, "://")
	return scheme
}
