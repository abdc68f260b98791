package inbox

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"time"
)

// dueLimit is how long Run looks ahead at most.
const dueLimit = 10 * time.Minute

// Run lets go what waits for its time, until ctx ends. Without it, slowed groups and
// requests that need no accepting stay where they are.
func (in *Inbox) Run(ctx context.Context) error {
	if in.books == nil {
		<-ctx.Done()
		return nil
	}
	for {
		next, err := in.LetGo(ctx)
		if err != nil && ctx.Err() == nil {
			in.log.Warn("messages that wait could not be let go", "error", err)
			next = in.clock().Add(retryMove)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-in.poke:
		case <-time.After(next.Sub(in.clock())):
		}
	}
}

// LetGo moves all that is due and tells Run when to look again.
func (in *Inbox) LetGo(ctx context.Context) (next time.Time, err error) {
	var all []due
	err = in.books.ReadRows(ctx, func(l Ledger) (err error) {
		all, err = readAll[due](l, DueRow, "")
		return err
	})
	if err != nil {
		return next, err
	}
	now := in.clock()
	next = now.Add(dueLimit)
	for _, one := range all {
		at := one.At
		if !now.Before(at) {
			if at, err = in.moveOne(ctx, one); err != nil {
				return next, err
			}
		}
		if !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	return next, nil
}

// moveOne lets go one request or queue; at is when there is more to do.
func (in *Inbox) moveOne(ctx context.Context, one due) (at time.Time, err error) {
	shown, err := in.beforeRelease(ctx, one.Owner, one.ID, moveBytes)
	if err != nil {
		return at, err
	}
	var out []Entry
	err = in.books.ChangeRows(ctx, func(l Ledger) error {
		out, at = nil, time.Time{}
		w := &Waiting{}
		known, err := read(l, headRowOf(one.Owner, one.ID), w)
		if err != nil || !known {
			return cmp.Or(err, l.SetRow(dueRowOf(one.Owner, one.ID), nil, 0))
		}
		m := &moving{l: l, now: in.clock(), w: w, shown: shown}
		before := w.Bytes
		if err := m.move(); err != nil {
			return err
		}
		out = m.out
		if w.First < w.Next {
			at = w.Due
		}
		return discountMoved(l, w, before)
	})
	if err != nil {
		return at, fmt.Errorf("let go what waits: %w", err)
	}
	in.arrived(one.Owner, out)
	return at, nil
}

// OnRelease has f called with what is about to go from a request into the mailbox:
// an error puts that off. It may be called before the Inbox is used, not later.
func (in *Inbox) OnRelease(f func(context.Context, Owner, []Message) error) { in.onRelease = f }

// beforeRelease shows what is about to leave, most bytes of it or one message, to whom OnRelease named, while nobody can have it
// yet: what a Welcome uses up is used up before it is delivered. shown is the number of the first that was not shown, which has to
// wait.
func (in *Inbox) beforeRelease(ctx context.Context, o Owner, id string, most int64) (shown uint64, err error) {
	if in.onRelease == nil {
		return math.MaxUint64, nil
	}
	var ms []Message
	err = in.books.ReadRows(ctx, func(l Ledger) error {
		w, size := &Waiting{}, int64(0)
		if _, err := read(l, headRowOf(o, id), w); err != nil {
			return err
		}
		for shown = w.First; shown < w.Next; shown++ {
			one, err := readMessage(l, w, shown)
			if err != nil {
				return err
			}
			if one == nil {
				continue
			}
			if size += int64(len(one.Activity)); len(ms) > 0 && size > most {
				return nil
			}
			ms = append(ms, *one)
		}
		return nil
	})
	if err != nil || len(ms) == 0 {
		return shown, err
	}
	return shown, in.onRelease(ctx, o, ms)
}

// arrived counts and tells what came out of waiting.
func (in *Inbox) arrived(o Owner, out []Entry) {
	if len(out) == 0 {
		return
	}
	for i := range out {
		in.count(out[i].Kind, []Result{{Position: out[i].Position}})
	}
	in.hub.wake(o, nil)
}
