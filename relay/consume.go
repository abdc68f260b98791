package relay

import (
	"context"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/mls"
)

// consume takes the key packages that the activity's Welcomes name out of the
// directory of everybody who has got it, now or before: whoever was answered 202
// finds it done, also when the answer to the first delivery was lost. What waits as
// a message request uses up nothing yet.
func (r *Relay) consume(ctx context.Context, a *activity.Activity, ms []inbox.Message, results []inbox.Result) error {
	if r.keys == nil {
		return nil
	}
	refs := welcomeRefs(a)
	if len(refs) == 0 {
		return nil
	}
	var got []inbox.Owner
	for i, result := range results {
		if result.Delivered() {
			got = append(got, ms[i].Owner)
		}
	}
	if len(got) == 0 {
		return nil
	}
	return r.keys.Consume(ctx, got, refs)
}

// consumeReleased does the same for what is about to leave a message request.
func (r *Relay) consumeReleased(ctx context.Context, o inbox.Owner, ms []inbox.Message) error {
	if r.keys == nil {
		return nil
	}
	for i := range ms {
		if ms[i].Kind != mls.KindWelcome {
			continue
		}
		a, err := activity.Parse(ms[i].Activity, r.limits)
		if err != nil {
			continue // it was taken under other limits: its package stays listed
		}
		if err := r.keys.Consume(ctx, []inbox.Owner{o}, welcomeRefs(a)); err != nil {
			return err
		}
	}
	return nil
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
