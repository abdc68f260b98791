package inbox

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
)

// Standing is what is known of an actor in one person's group.
type Standing struct {
	Joined   bool // the person is in the group
	Seen     bool // a message of the actor's was delivered to them in it, or their own device names it
	Approved bool // the person accepted a message request of the actor's
}

// Standing says how an actor stands with o in a group, nil for none.
func (in *Inbox) Standing(ctx context.Context, o Owner, group []byte, actor string) (s Standing, err error) {
	if in.books == nil {
		return s, nil
	}
	err = in.books.ReadRows(ctx, func(l Ledger) error {
		if group != nil {
			g, err := readGroup(l, o, group)
			if err != nil {
				return err
			}
			s.Joined, s.Seen = g.Joined > notJoined, g.has(actor)
		}
		var who acquaintance
		_, err := read(l, senderRowOf(o, actor), &who)
		s.Approved = who.Approved
		return err
	})
	if err != nil {
		return s, fmt.Errorf("look up a group: %w", err)
	}
	return s, nil
}

// Requests are o's open message requests, oldest first.
func (in *Inbox) Requests(ctx context.Context, o Owner) ([]Waiting, error) {
	if in.books == nil {
		return nil, nil
	}
	var all []Waiting
	err := in.books.ReadRows(ctx, func(l Ledger) (err error) {
		all, err = readAll[Waiting](l, headRow, o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the message requests: %w", err)
	}
	now := in.clock()
	all = slices.DeleteFunc(all, func(w Waiting) bool { return w.Released() || w.Dropped || w.over(now) })
	slices.SortFunc(all, func(a, b Waiting) int { return a.Since.Compare(b.Since) })
	return all, nil
}

// AcceptRequest delivers what waits in a request, in order and at once, and knows its sender
// from then on. What finds no room in the mailbox follows by itself when there is some, and what comes meanwhile soon.
// ErrNoRequest; ErrFull when nothing of it does.
func (in *Inbox) AcceptRequest(ctx context.Context, o Owner, id string) error {
	if in.books == nil {
		return ErrNoRequest
	}
	shown, err := in.beforeRelease(ctx, o, id, math.MaxInt64)
	if err != nil {
		return err
	}
	var out []Entry
	err = in.books.ChangeRows(ctx, func(l Ledger) error {
		w, err := in.request(l, o, id)
		if err != nil {
			return err
		}
		m := &moving{l: l, now: in.clock(), w: w, shown: shown, whole: true}
		if fits, err := m.begins(); err != nil || !fits {
			return cmp.Or(err, ErrFull)
		}
		w.Accepted = true
		before := w.Bytes
		if err := m.move(); err != nil {
			return err
		}
		out = m.out
		if err := discountMoved(l, w, before); err != nil {
			return err
		}
		return approve(l, o, w.Actor)
	})
	if err != nil {
		return fmt.Errorf("accept a message request: %w", err)
	}
	in.requests.WithLabelValues("accepted").Inc()
	in.arrived(o, out)
	in.prod()
	return nil
}

func approve(l Ledger, o Owner, actor string) error {
	row := senderRowOf(o, actor)
	var who acquaintance
	if _, err := read(l, row, &who); err != nil {
		return err
	}
	who.Approved, who.Messages, who.Bytes = true, 0, 0
	return write(l, row, &who, who.life())
}

// DropRequest forgets what waits in a request, and, until the request would have expired,
// what follows it. What others have sent who are known by now is delivered. ErrNoRequest.
func (in *Inbox) DropRequest(ctx context.Context, o Owner, id string) error {
	if in.books == nil {
		return ErrNoRequest
	}
	err := in.books.ChangeRows(ctx, func(l Ledger) error {
		w, err := in.request(l, o, id)
		if err != nil {
			return err
		}
		bytes := w.Bytes
		if err := empty(l, w, in.clock()); err != nil {
			return err
		}
		w.Dropped = true
		if err := write(l, headRowOf(o, id), w, w.Ends.Sub(in.clock())); err != nil {
			return err
		}
		return discountMoved(l, w, bytes)
	})
	if err != nil {
		return fmt.Errorf("drop a message request: %w", err)
	}
	in.requests.WithLabelValues("dropped").Inc()
	in.prod()
	return nil
}

// request is one that the person can decide about.
func (in *Inbox) request(l Ledger, o Owner, id string) (*Waiting, error) {
	w, err := readWaiting(l, o, id, in.clock())
	if err != nil {
		return nil, err
	}
	if w == nil || w.Actor == "" || w.Released() || w.Dropped {
		return nil, fmt.Errorf("%w: %.64q", ErrNoRequest, id)
	}
	return w, nil
}
