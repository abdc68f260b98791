package relay

import (
	"context"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
)

// consume takes the key packages that the activity's Welcomes name out of the
// directory of everybody who has got it, now or before: whoever was answered 202
// finds it done, also when the answer to the first delivery was lost. What waits as
// a message request uses up nothing yet.
func (r *Relay) consume(ctx context.Context, a *activity.Activity, ms []inbox.Message, results []inbox.Result) error {
	if r.keys == nil {
		return nil
	}
	var got []inbox.Owner
	for i, result := range results {
		if result.Delivered() {
			got = append(got, ms[i].Owner)
		}
	}
	return r.keys.Consume(ctx, got, inbox.WelcomeRefs(a))
}
