package inbox

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	moveBytes = 1 << 20          // of activities that one transaction lets go, or little more
	retryMove = time.Minute      // when a mailbox had no room
	dueLimit  = 10 * time.Minute // how long Run looks ahead at most
)

// moving lets messages that waited go into the mailbox.
type moving struct {
	l        Ledger
	now      time.Time
	w        *Waiting
	accepted bool // by the person: their groups are joined
	whole    bool // all in this transaction
	out      []Entry
}

// move delivers what waits in w, in order. What finds no room waits on.
func (m *moving) move() error {
	room, err := m.l.Room(m.w.Owner)
	if err != nil {
		return err
	}
	moved := int64(0)
	for n := m.w.First; n < m.w.Next; n++ {
		value, err := m.l.Row(m.w.row(n))
		if err != nil {
			return err
		}
		if value == nil {
			continue // the store has forgotten it: it expired
		}
		one, err := DecodeWaiting(m.w.Owner, value)
		if err != nil {
			return err
		}
		size := int64(len(one.Activity))
		if moved+size > room {
			return m.rest(n, m.now.Add(retryMove))
		}
		if moved > 0 && moved+size > moveBytes && !m.whole {
			return m.rest(n, m.now)
		}
		moved += size
		if err := m.one(n, &one); err != nil {
			return err
		}
	}
	return m.done()
}

// one delivers a message and notes what its delivery shows.
func (m *moving) one(n uint64, one *Message) error {
	result, err := m.l.Deliver(one)
	if err == nil {
		err = result.Err
	}
	if err != nil {
		return err
	}
	m.out = append(m.out, Entry{Position: result.Position, Message: *one})
	m.w.Messages, m.w.Bytes = m.w.Messages-1, m.w.Bytes-int64(len(one.Activity))
	if err := m.l.SetRow(m.w.row(n), nil, 0); err != nil {
		return err
	}
	if one.Kind == "welcome" {
		return welcomed(m.l, one, m.now)
	}
	return m.meet(one)
}

// meet notes the sender of a delivered message in its group.
func (m *moving) meet(one *Message) error {
	if one.Group == nil {
		return nil
	}
	g, err := readGroup(m.l, one.Owner, one.Group)
	if err != nil {
		return err
	}
	changed := g.meet(one.Actor)
	if m.accepted && g.Joined < joined {
		g.Joined, changed = joined, true
	}
	if g.Waits == m.w.ID && m.w.Messages == 0 {
		g.Waits, changed = "", true
	}
	if !changed {
		return nil
	}
	g.Used = m.now
	return keepGroup(m.l, one.Owner, g)
}

// rest leaves the messages from n on for later.
func (m *moving) rest(n uint64, at time.Time) error {
	m.w.First = n
	return release(m.l, m.w, at)
}

// done removes w, which is empty now.
func (m *moving) done() error {
	m.w.First = m.w.Next
	return erase(m.l, m.w)
}

func readGroup(l Ledger, o Owner, group []byte) (*membership, error) {
	name := groupName(group)
	g := &membership{}
	known, err := read(l, groupRowOf(o, name), g)
	g.Name, g.isNew = []byte(name), !known
	return g, err
}

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
		timer := time.NewTimer(max(0, next.Sub(in.clock())))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-in.poke:
		case <-timer.C:
		}
		timer.Stop()
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
	if err := in.beforeRelease(ctx, one.Owner, one.ID); err != nil {
		return at, err
	}
	var out []Entry
	err = in.books.ChangeRows(ctx, func(l Ledger) error {
		out, at = nil, time.Time{}
		w := &Waiting{}
		known, err := read(l, headRowOf(one.Owner, one.ID), w)
		if err != nil || !known {
			return errorOr(err, l.SetRow(dueRowOf(one.Owner, one.ID), nil, 0))
		}
		m := &moving{l: l, now: in.clock(), w: w}
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

func errorOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// discountMoved counts out of the person's sums what has left a request.
func discountMoved(l Ledger, w *Waiting, before int64) error {
	if w.Actor == "" {
		return nil
	}
	var sums tally
	row := Row{Kind: tallyRow, Owner: w.Owner}
	if known, err := read(l, row, &sums); !known || err != nil {
		return err
	}
	sums.Bytes = max(0, sums.Bytes-(before-w.Bytes))
	if w.First == w.Next && !w.Dropped {
		sums.Requests = max(0, sums.Requests-1)
	}
	return write(l, row, &sums, 0)
}

// OnRelease has f called with what is about to go from a request into the mailbox:
// an error puts that off. It may be called before the Inbox is used, not later.
func (in *Inbox) OnRelease(f func(context.Context, Owner, []Message) error) { in.onRelease = f }

// beforeRelease shows what waits to whom OnRelease named, while nobody can have it
// yet: what a Welcome uses up is used up before it is delivered.
func (in *Inbox) beforeRelease(ctx context.Context, o Owner, id string) error {
	if in.onRelease == nil {
		return nil
	}
	var ms []Message
	err := in.books.ReadRows(ctx, func(l Ledger) error {
		ms = nil
		values, err := l.Rows(WaitingRow, o, id)
		for _, value := range values {
			m, err := DecodeWaiting(o, value)
			if err != nil {
				return err
			}
			ms = append(ms, m)
		}
		return err
	})
	if err != nil || len(ms) == 0 {
		return err
	}
	return in.onRelease(ctx, o, ms)
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

// Lesson is what a person shows by sending: that they are in a group, and who else is.
type Lesson struct {
	Owner   Owner
	Group   []byte // nil: nothing to learn
	Context string
	Members []string // actor ids
}

// maxMet bounds how many members one lesson looks up.
const maxMet = 64

// Learn notes a lesson: the group is joined, and its members are no strangers in it.
// What waited because that was not known is let go.
func (d Door) Learn(l Ledger, now time.Time, lesson Lesson) error {
	if lesson.Group == nil {
		return nil
	}
	g, err := readGroup(l, lesson.Owner, lesson.Group)
	if err != nil {
		return err
	}
	changed := g.isNew || g.Joined < joined || now.Sub(g.Used) >= refreshAfter
	if g.Joined < joined {
		if err := letGroupGo(l, g, lesson.Owner, g.Waits, now); err != nil {
			return err
		}
	}
	g.Joined, g.Used = joined, now
	met := slices.DeleteFunc(slices.Clone(lesson.Members), func(id string) bool { return !g.meet(id) })
	for _, actor := range met[:min(len(met), maxMet)] {
		if err := letGroupGo(l, g, lesson.Owner, RequestID(actor), now); err != nil {
			return err
		}
	}
	if changed || len(met) > 0 {
		if err := keepGroup(l, lesson.Owner, g); err != nil {
			return err
		}
	}
	return learnContext(l, now, lesson)
}

func letGroupGo(l Ledger, g *membership, o Owner, id string, now time.Time) error {
	if id == "" {
		return nil
	}
	w, err := readWaiting(l, o, id, now)
	if err != nil || w == nil || w.Released() || w.Dropped {
		return err
	}
	has, err := holdsGroup(l, w, g)
	if err != nil || !has {
		return err
	}
	if g.Waits == "" {
		g.Waits = id
	}
	return release(l, w, now)
}

// holdsGroup tells whether a message of the group waits in w.
func holdsGroup(l Ledger, w *Waiting, g *membership) (bool, error) {
	values, err := l.Rows(WaitingRow, w.Owner, w.ID)
	for _, value := range values {
		m, err := DecodeWaiting(w.Owner, value)
		if err != nil {
			return false, err
		}
		if m.Group != nil && groupName(m.Group) == string(g.Name) {
			return true, nil
		}
	}
	return false, err
}

func learnContext(l Ledger, now time.Time, lesson Lesson) error {
	if lesson.Context == "" {
		return nil
	}
	row := Row{Kind: contextRow, Owner: lesson.Owner, Name: lesson.Context}
	var c conversation
	known, err := read(l, row, &c)
	if err != nil || known && c.Waits == "" && now.Sub(c.Used) < refreshAfter {
		return err
	}
	return write(l, row, conversation{Used: now}, contextLife)
}
