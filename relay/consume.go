package relay

import (
	"context"
	"errors"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/mls"
)

// consume takes the key packages that the activity's Welcomes name out of the
// directory of everybody who has got it, now or before: whoever was answered 202
// finds it done, also when the answer to the first delivery was lost.
func (r *Relay) consume(ctx context.Context, a *activity.Activity, owners []inbox.Owner, results []inbox.Result) error {
	if r.keys == nil {
		return nil
	}
	refs := welcomeRefs(a)
	if len(refs) == 0 {
		return nil
	}
	var got []inbox.Owner
	for i, result := range results {
		if result.Err == nil || errors.Is(result.Err, inbox.ErrDuplicate) {
			got = append(got, owners[i])
		}
	}
	if len(got) == 0 {
		return nil
	}
	return r.keys.Consume(ctx, got, refs)
}

// welcomeRefs are the KeyPackageRefs in an activity's Welcomes, in order.
func welcomeRefs(a *activity.Activity) (refs [][]byte) {
	for _, o := range a.Objects {
		m, err := mls.Parse(o.Content)
		if err == nil && m.Welcome != nil {
			refs = append(refs, m.WelcomeRefs()...)
		}
	}
	return refs
}
