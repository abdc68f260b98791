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
	refs := inbox.WelcomeRefs(a)
	if r.keys == nil || len(refs) == 0 {
		return nil
	}
	var got []inbox.Owner
	for i, result := range results {
		switch {
		case !result.Delivered():
		case result.Err == nil:
			got = append(got, ms[i].Owner)
		default:
			if err := r.consumeAgain(ctx, ms[i].Owner, result.Position); err != nil {
				return err
			}
		}
	}
	return r.keys.Consume(ctx, got, refs)
}

// consumeAgain is for what was delivered before: another Welcome may have come under its id now, which nobody has got.
func (r *Relay) consumeAgain(ctx context.Context, o inbox.Owner, at inbox.Position) error {
	kept, err := r.inbox.After(ctx, o, at-1, 1)
	if err != nil || len(kept) == 0 || kept[0].Position != at {
		return err
	}
	return r.keys.ConsumeKept(ctx, o, []inbox.Message{kept[0].Message})
}
