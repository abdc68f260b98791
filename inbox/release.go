package inbox

import (
	"context"
	"encoding/hex"
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
	l     Ledger
	now   time.Time
	w     *Waiting
	whole bool  // all that there is room for in this transaction
	room  int64 // that is left in the mailbox
	moved int64 // bytes
	out   []Entry
}

// begins tells whether there is room for the first message.
func (m *moving) begins() (bool, error) {
	room, err := m.l.Room(m.w.Owner)
	for n := m.w.First; n < m.w.Next && err == nil; n++ {
		var one *Message
		if one, err = readMessage(m.l, m.w, n); one != nil {
			return int64(len(one.Activity)) <= room, err
		}
	}
	return true, err
}

// move delivers what waits in w, in order, and before it what a queue has to take out
// of requests. What finds no room waits on.
func (m *moving) move() (err error) {
	if m.room, err = m.l.Room(m.w.Owner); err != nil {
		return err
	}
	for len(m.w.From) > 0 {
		if again, err := m.takeOut(m.w.From[0]); err != nil || !again.IsZero() {
			return errorOr(err, release(m.l, m.w, again))
		}
		m.w.From = m.w.From[1:]
	}
	n, again, err := m.each(m.w, "")
	if err != nil {
		return err
	}
	m.w.First = n
	if !again.IsZero() {
		return release(m.l, m.w, again)
	}
	return erase(m.l, m.w)
}

// takeOut delivers what waits of the queue's group in a request, which waits on with
// the rest. again is when there is more to do.
func (m *moving) takeOut(id string) (again time.Time, err error) {
	w, err := readWaiting(m.l, m.w.Owner, id, m.now)
	if w == nil || err != nil {
		return again, err
	}
	before := w.Bytes
	if _, again, err = m.each(w, m.w.Group); err != nil {
		return again, err
	}
	if w.Messages == 0 {
		w.First = w.Next
		err = erase(m.l, w)
	} else {
		err = write(m.l, headRowOf(w.Owner, w.ID), w, w.left(m.now))
	}
	return again, errorOr(err, discountMoved(m.l, w, before))
}

// each delivers the messages of w, or those of one group, in order. When there is no
// room, or it was enough for one transaction, n is the first that is left and again when
// to go on.
func (m *moving) each(w *Waiting, group string) (n uint64, again time.Time, err error) {
	for n = w.First; n < w.Next; n++ {
		one, err := readMessage(m.l, w, n)
		if err != nil {
			return n, again, err
		}
		if one == nil || group != "" && !one.isOf(group) {
			continue
		}
		size := int64(len(one.Activity))
		if size > m.room {
			return n, m.now.Add(retryMove), nil
		}
		if m.moved > 0 && m.moved+size > moveBytes && !m.whole {
			return n, m.now, nil
		}
		m.room, m.moved = m.room-size, m.moved+size
		if err := m.one(w, n, one); err != nil {
			return n, again, err
		}
	}
	return n, again, nil
}

// readMessage is the n-th message of w, nil when the store has forgotten it: it expired,
// or was taken out.
func readMessage(l Ledger, w *Waiting, n uint64) (*Message, error) {
	value, err := l.Row(w.row(n))
	if value == nil || err != nil {
		return nil, err
	}
	one, err := DecodeWaiting(w.Owner, value)
	return &one, err
}

// isOf tells whether the message belongs to the group with that queue, and is no
// invitation: these wait for their own acceptance.
func (m *Message) isOf(group string) bool {
	return m.Group != nil && m.Kind != "welcome" && hex.EncodeToString([]byte(groupName(m.Group))) == group
}

// one delivers a message and notes what its delivery shows.
func (m *moving) one(w *Waiting, n uint64, one *Message) error {
	result, err := m.l.Deliver(one)
	if err == nil {
		err = result.Err
	}
	if err != nil {
		return err
	}
	m.out = append(m.out, Entry{Position: result.Position, Message: *one})
	w.Messages, w.Bytes = w.Messages-1, w.Bytes-int64(len(one.Activity))
	if err := m.l.SetRow(w.row(n), nil, 0); err != nil {
		return err
	}
	if one.Kind == "welcome" {
		return welcomed(m.l, one, m.now)
	}
	return m.meet(w, one)
}

// meet notes the sender of a delivered message in its group.
func (m *moving) meet(w *Waiting, one *Message) error {
	if one.Group == nil {
		return nil
	}
	g, err := readGroup(m.l, one.Owner, one.Group)
	if err != nil {
		return err
	}
	changed := g.meet(one.Actor)
	if w.Accepted && g.Joined < joined {
		g.Joined, changed = joined, true
	}
	if !changed {
		return nil
	}
	g.Used = m.now
	return keepGroup(m.l, one.Owner, g)
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
// What waited of it because that was not known is let go.
func (d Door) Learn(l Ledger, now time.Time, lesson Lesson) error {
	if lesson.Group == nil {
		return nil
	}
	g, err := readGroup(l, lesson.Owner, lesson.Group)
	if err != nil {
		return err
	}
	isFirst := g.Joined < joined
	changed := isFirst || now.Sub(g.Used) >= refreshAfter
	var holders []string
	if isFirst && g.Waits != "" {
		holders = append(holders, g.Waits)
	}
	g.Joined, g.Used = joined, now
	for i, actor := range lesson.Members {
		isNew := g.meet(actor)
		changed = changed || isNew
		if (isNew || isFirst) && i < maxMet {
			holders = append(holders, RequestID(actor))
		}
	}
	queue, err := letGroupGo(l, lesson.Owner, g, now, holders...)
	if err != nil {
		return err
	}
	if changed || queue != nil {
		if err := keepGroup(l, lesson.Owner, g); err != nil {
			return err
		}
	}
	return learnContext(l, now, lesson)
}

// letGroupGo has what waits of a group in requests let go through the group's queue,
// behind which everything else of it goes from now on. The rest of the requests waits on.
// nil: nothing of it waits in them.
func letGroupGo(l Ledger, o Owner, g *membership, now time.Time, requests ...string) (*Waiting, error) {
	if len(requests) == 0 {
		return nil, nil //nolint:nilnil // nothing waits
	}
	queue, err := queueOf(l, o, g, now)
	if err != nil {
		return nil, err
	}
	found := false
	for _, id := range requests {
		w, err := readWaiting(l, o, id, now)
		if err != nil {
			return nil, err
		}
		if w == nil || w.Actor == "" {
			continue
		}
		holds, err := holdsGroup(l, w, queue.Group)
		if err != nil {
			return nil, err
		}
		if holds && !slices.Contains(queue.From, id) {
			queue.From, found = append(queue.From, id), true
		}
	}
	if !found {
		return nil, nil //nolint:nilnil // nothing waits
	}
	g.Waits = queue.ID
	at := now
	if queue.Released() {
		at = queue.Due
	}
	return queue, release(l, queue, at)
}

// holdsGroup tells whether a message of the group with that queue waits in w.
func holdsGroup(l Ledger, w *Waiting, group string) (bool, error) {
	for n := w.First; n < w.Next; n++ {
		one, err := readMessage(l, w, n)
		if err != nil {
			return false, err
		}
		if one != nil && one.isOf(group) {
			return true, nil
		}
	}
	return false, nil
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
