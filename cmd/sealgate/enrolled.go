package main

import (
	"context"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay"
)

const (
	enrolledKept  = 20_000
	enrolledFresh = 10 * time.Minute // so long somebody is taken for enrolled without a look
)

// enrolled says who has ever published a key package here, or is signed in. nil with mailbox.unenrolled: keep.
func (g *gateway) enrolled() relay.Enrolled {
	if g.config.Mailbox.Unenrolled == "keep" {
		return nil
	}
	known := otter.Must(&otter.Options[inbox.Owner, struct{}]{
		MaximumSize: enrolledKept, ExpiryCalculator: otter.ExpiryWriting[inbox.Owner, struct{}](enrolledFresh),
	})
	return func(ctx context.Context, o inbox.Owner) (bool, error) {
		if _, ok := known.GetIfPresent(o); ok {
			return true, nil
		}
		is, err := g.isEnrolled(ctx, o)
		if is {
			known.Set(o, struct{}{})
		}
		return is, err
	}
}

func (g *gateway) isEnrolled(ctx context.Context, o inbox.Owner) (bool, error) {
	pool, err := g.store.Pool(ctx, o)
	if err != nil || pool.Log.Count > 0 {
		return err == nil, err
	}
	devices, err := g.store.Devices(ctx, string(o))
	return len(devices) > 0, err
}
