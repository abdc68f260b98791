package inbox

import (
	"cmp"
	"encoding/hex"
	"slices"
	"time"

	"github.com/sealgate/sealgate/inbox/mls"
)

const (
	moveBytes = 1 << 20     // of activities that one transaction lets go, or little more
	retryMove = time.Minute // when a mailbox had no room
)

// moving lets messages that waited go into the mailbox.
type moving struct {
	l     Ledger
	now   time.Time
	w     *Waiting
	shown uint64 // number of its first message that stays: OnRelease has not seen it
	whole bool   // all that there is room for in this transaction
	room  int64  // that is left in the mailbox
	moved int64  // bytes
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
			return cmp.Or(err, m.later(again))
		}
		m.w.From = m.w.From[1:]
	}
	n, again, err := m.each(m.w, "")
	if err != nil {
		return err
	}
	m.w.First = n
	if !again.IsZero() {
		return m.later(again)
	}
	return erase(m.l, m.w, m.now)
}

// later lets go of the rest when there is room again.
func (m *moving) later(again time.Time) error {
	if again.After(m.now) {
		if err := lasting(m.l, m.w); err != nil {
			return err
		}
	}
	return release(m.l, m.w, again)
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
	if again.IsZero() {
		w.To = slices.DeleteFunc(w.To, func(to string) bool { return to == m.w.ID })
	}
	if w.Messages == 0 {
		w.First = w.Next
		err = erase(m.l, w, m.now)
	} else {
		err = write(m.l, headRowOf(w.Owner, w.ID), w, w.left(m.now))
	}
	return again, cmp.Or(err, discountMoved(m.l, w, before))
}

// handOver puts what queues take out of a request, which is about to go, at their front. It is not counted out of w.
func handOver(l Ledger, w *Waiting, now time.Time) error {
	for _, id := range w.To {
		queue, err := readWaiting(l, w.Owner, id, now)
		if err != nil {
			return err
		}
		if queue == nil {
			continue
		}
		var ms []*Message
		for n := w.First; n < w.Next; n++ {
			one, err := readMessage(l, w, n)
			if err == nil && one != nil && one.isOf(queue.Group) {
				ms, err = append(ms, one), l.SetRow(w.row(n), nil, 0)
			}
			if err != nil {
				return err
			}
		}
		queue.From = slices.DeleteFunc(queue.From, func(from string) bool { return from == w.ID })
		if err := putFirst(l, queue, ms, now); err != nil {
			return err
		}
		if err := write(l, headRowOf(w.Owner, queue.ID), queue, 0); err != nil {
			return err
		}
	}
	w.To = nil
	return nil
}

// putFirst puts messages before all that waits in a queue, whose own row is still to be written. Behind it, if it was begun
// when queues were numbered from 1.
func putFirst(l Ledger, queue *Waiting, ms []*Message, now time.Time) error {
	next, fits := queue.Next, uint64(len(ms)) < queue.First
	if fits {
		queue.First -= uint64(len(ms))
		queue.Next = queue.First
	}
	for _, one := range ms {
		if err := put(l, queue, one, now); err != nil {
			return err
		}
	}
	if fits {
		queue.Next = next
	}
	return nil
}

// each delivers the messages of w, or those of one group, in order. When there is no
// room, it was enough for one transaction, or the rest was not shown, n is the first that is left and again when
// to go on.
func (m *moving) each(w *Waiting, group string) (n uint64, again time.Time, err error) {
	for n = w.First; n < w.Next; n++ {
		if w == m.w && n >= m.shown {
			return n, m.now, nil
		}
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
	return m.Kind != mls.KindWelcome && hex.EncodeToString([]byte(groupName(m.Group))) == group
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
	if one.Kind == mls.KindWelcome {
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
