package outbox

import (
	"context"

	"github.com/maypok86/otter/v2"
)

// What is kept in memory of the queue: of lanes that get on some deliveries each, and
// the bodies that were posted last. A lane that fails keeps nothing.
const (
	readAhead = 16   // of one lane
	maxAhead  = 4096 // of all
	maxBodies = 16 << 20
)

func newBodies() *otter.Cache[string, Sent] {
	return otter.Must(&otter.Options[string, Sent]{
		MaximumWeight: maxBodies, Logger: &otter.NoopLogger{},
		Weigher: func(_ string, s Sent) uint32 { return uint32(len(s.Body)) + 512 },
	})
}

// head is the delivery at the head of a lane that is under way; nil: it is empty.
func (o *Outbox) head(ctx context.Context, l *lane) (*Delivery, error) {
	if len(l.ahead) > 0 {
		return &l.ahead[0], nil
	}
	limit := 1
	if o.ahead.Load() < maxAhead {
		limit = readAhead
	}
	list, err := o.store.Next(ctx, Place{l.id, l.behind}, limit)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	l.ahead = list
	o.ahead.Add(int64(len(list)))
	return &l.ahead[0], nil
}

// passed drops from memory what a turn has settled, or all when the lane has to wait.
func (o *Outbox) passed(l *lane, out outcome) {
	gone := len(l.ahead)
	if out.settled > 0 {
		gone = min(gone, 1)
	}
	o.ahead.Add(-int64(gone))
	if l.ahead = l.ahead[gone:]; len(l.ahead) == 0 {
		l.ahead = nil
	}
}

// body is what a delivery posts.
func (o *Outbox) body(ctx context.Context, d *Delivery) ([]byte, error) {
	sent, ok := o.bodies.GetIfPresent(d.Sent)
	if !ok {
		var err error
		if sent, err = o.store.Sent(ctx, d.Sent); err != nil {
			return nil, err
		}
		o.remember(d.Sent, sent)
	}
	if sent.Each {
		return onlyTo(sent.Body, d.Recipients...)
	}
	return sent.Body, nil
}

func (o *Outbox) remember(name string, s Sent) {
	o.bodies.Set(name, Sent{Body: s.Body, Each: s.Each})
}
