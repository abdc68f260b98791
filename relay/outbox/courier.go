package outbox

import (
	"context"
	"time"
)

// Courier is who signs and sends by themselves, instead of Keys. What a courier has
// taken counts as delivered: nothing more is learnt of it, and order is theirs to keep.
type Courier interface {
	// Carry takes one delivery, or gives an error when it cannot now. It may be given
	// the same delivery again after a crash.
	Carry(ctx context.Context, from Sender, inbox string, body []byte) error
}

// courierRetry is how long a courier who could not take a delivery is left alone.
const courierRetry = 10 * time.Second

// hand gives a delivery to the courier, or posts it signed.
func (o *Outbox) hand(ctx context.Context, d *Delivery, inbox string, body []byte) answered {
	if o.courier == nil {
		return o.post.send(ctx, d, inbox, body)
	}
	if err := o.courier.Carry(ctx, d.Sender, inbox, body); err != nil {
		return answered{verdict: waiting, after: courierRetry, err: err}
	}
	return answered{verdict: delivered}
}
