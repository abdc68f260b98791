package outbox

import (
	"bytes"
	"context"
	"errors"
	"slices"
)

// maxTold bounds what one failed try has senders told of others that wait.
const maxTold = 256

// tellWaiting does for all that waits for a host that has failed again, and is not tried itself, what its own tries
// would: after an hour its sender is told, after seven days it is given up. The caller has the host's only turn.
func (o *Outbox) tellWaiting(ctx context.Context, h *host) {
	places, ahead := o.queue.waiting(h)
	o.ahead.Add(-ahead)
	for left := maxTold; len(places) > 0 && left > 0; places = places[1:] {
		told, err := o.tellOf(ctx, places[0], left)
		if err != nil {
			o.stuck(ctx, err)
			return
		}
		left -= told
	}
}

// tellOf goes through a lane from a place, and says how many senders it told.
func (o *Outbox) tellOf(ctx context.Context, at Place, most int) (told int, err error) {
	list, err := o.store.Next(ctx, at, most)
	if err != nil {
		return 0, err
	}
	var done []Place
	var changed []Delivery
	for i := range list {
		d := &list[i]
		age := o.clock().Sub(d.Accepted)
		switch {
		case age >= giveUpAfter:
			if err = o.giveUp(ctx, d, answered{verdict: later}); err == nil {
				done = append(done, d.Place)
			}
		case age >= warnAfter && !d.Warned:
			if err = o.warn(ctx, d); err == nil {
				changed = append(changed, *d)
			}
		}
		if err != nil {
			break // those before are not told again
		}
	}
	if told = len(done) + len(changed); told == 0 {
		return 0, err
	}
	if settling := o.store.Settle(ctx, done, changed); settling != nil {
		return 0, errors.Join(err, settling)
	}
	o.queue.dropped(len(done))
	return told, err
}

// waiting gives where the lanes of a host begin whose breaker is open, or opens now, and drops what was read ahead of
// them: ahead deliveries.
func (s *scheduler) waiting(h *host) (places []Place, ahead int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.active > 1 || h.failures+1 < breakAfter {
		return nil, 0
	}
	for l := range h.lanes {
		places = append(places, Place{l.id, l.behind})
		ahead += int64(len(l.ahead))
		l.ahead = nil
	}
	slices.SortFunc(places, func(a, b Place) int { return bytes.Compare(a.Lane[:], b.Lane[:]) })
	return places, ahead
}

// dropped notes that so many were given up without a turn of their own.
func (s *scheduler) dropped(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queued -= n
}
