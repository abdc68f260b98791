package inbox

import (
	"cmp"
	"encoding/hex"
	"errors"
	"time"

	"github.com/sealgate/sealgate/inbox/mls"
)

// Door has the limits of what strangers can bring to one person. The zero value has
// the defaults.
//
// Its rules are pure: they run in a Store's transaction, on its Ledger, so that what
// is decided and what is kept never differ. A message of a joined group from a
// sender seen in it is delivered, or waits in the group's queue; it is never lost.
type Door struct {
	Requests     int           // message requests of one person; 0: 1024
	Bytes        int64         // activities that wait in them; 0: 16 MiB
	RequestBytes int64         // in one of them, or in a slowed group's queue; 0: 1 MiB
	Life         time.Duration // of a request; 0: 14 days
	Messages     int           // allowance of one stranger, where they are unknown; 0: 256
	MessageBytes int64         // the same; 0: 1 MiB
}

// Complete fills in the defaults. maxActivity is the largest activity there can be.
func (d Door) Complete(maxActivity int64) Door {
	return Door{
		Requests:     cmp.Or(d.Requests, 1024),
		Bytes:        cmp.Or(d.Bytes, 16<<20),
		RequestBytes: cmp.Or(d.RequestBytes, max(1<<20, maxActivity)),
		Life:         cmp.Or(d.Life, 14*24*time.Hour),
		Messages:     cmp.Or(d.Messages, 256),
		MessageBytes: cmp.Or(d.MessageBytes, 1<<20),
	}
}

// visit is one message at the door.
type visit struct {
	d   Door
	l   Ledger
	now time.Time
	m   *Message

	group   membership
	context conversation
	invited bool // the context is known
	learned bool // by it, that the group is joined
	bound   bool // the group waits behind a request that is not dropped
	spent   bool // its sender may not fill more of the mailbox
	gone    Result
}

// Enter keeps m, which is no duplicate: in its mailbox, or where it has to wait.
func (d Door) Enter(l Ledger, now time.Time, m *Message) (Result, error) {
	v := &visit{d: d, l: l, now: now, m: m}
	r, err := v.enter()
	r.Expired, r.Evicted, r.Overflown = v.gone.Expired, v.gone.Evicted, v.gone.Overflown
	return r, err
}

// Fits tells what Enter would: whether there is room for m. It changes nothing.
func (d Door) Fits(l Ledger, now time.Time, m *Message) (bool, error) {
	r, err := d.Enter(dry{l}, now, m)
	return !errors.Is(r.Err, ErrFull), err
}

// dry is a Ledger that takes nothing down.
type dry struct{ Ledger }

func (dry) SetRow(Row, []byte, time.Duration) error { return nil }

func (l dry) Deliver(m *Message) (Result, error) {
	room, err := l.Room(m.Owner)
	if err == nil && int64(len(m.Activity)) > room {
		return Result{Err: ErrFull}, nil
	}
	return Result{Position: 1}, err
}

func (v *visit) enter() (Result, error) {
	if err := v.lookGroup(); err != nil {
		return Result{}, err
	}
	if v.m.Fate == Kept {
		return v.kept()
	}
	left, err := v.l.Share(v.m.Owner, v.m.Actor)
	if err != nil {
		return Result{}, err
	}
	v.spent = int64(len(v.m.Activity)) > left
	if err := v.lookContext(); err != nil {
		return Result{}, err
	}
	behind, err := v.behind()
	if err != nil {
		return Result{}, err
	}
	switch {
	case behind != nil:
		return v.wait(behind)
	case v.spent:
		return Result{Err: ErrFull}, nil
	case v.m.Kind == mls.KindWelcome:
		return v.welcome()
	case v.group.Joined > notJoined && v.group.has(v.m.Actor):
		return v.member()
	}
	return v.stranger()
}

// kept has a message that goes into the mailbox without any question, but not before
// what is being let go of its group.
func (v *visit) kept() (Result, error) {
	w, err := v.waiting(v.group.Waits)
	if err != nil {
		return Result{}, err
	}
	if w != nil && w.Released() {
		return v.wait(w)
	}
	return v.l.Deliver(v.m)
}

// lookGroup reads what is known of the message's group.
func (v *visit) lookGroup() error {
	if v.m.Group == nil {
		return nil
	}
	g, err := readGroup(v.l, v.m.Owner, v.m.Group)
	if err == nil {
		v.group = *g
	}
	return err
}

// lookContext reads what is known of what the sender calls the conversation.
func (v *visit) lookContext() error {
	if v.m.Context == "" || v.group.Joined > notJoined && v.group.has(v.m.Actor) {
		return nil
	}
	var err error
	v.invited, err = read(v.l, v.contextRow(), &v.context)
	if v.invited && v.context.Waits == "" && v.m.Group != nil && v.group.Joined == notJoined {
		v.group.Joined, v.group.Used, v.learned = joinedByTag, time.Time{}, true
	}
	return err
}

func (v *visit) contextRow() Row {
	return Row{Kind: contextRow, Owner: v.m.Owner, Name: v.m.Context}
}

// behind finds what the message must wait behind, so that nothing overtakes what
// came before it: a queue and what is being let go hold back everybody, an open
// request its own actor and those nothing is known of.
func (v *visit) behind() (*Waiting, error) {
	ids := []string{v.group.Waits, v.context.Waits}
	if v.group.Joined == notJoined || !v.group.has(v.m.Actor) {
		ids = append(ids, RequestID(v.m.Actor))
	}
	for _, id := range ids {
		w, err := v.waiting(id)
		if err != nil {
			return nil, err
		}
		if w == nil {
			v.forgetWaits(id)
			continue
		}
		if id == v.group.Waits {
			v.bound = !w.Dropped
		}
		if v.learned && !v.spent && id == v.group.Waits {
			if queue, err := letGroupGo(v.l, v.m.Owner, &v.group, v.now, id); queue != nil || err != nil {
				return queue, err
			}
		}
		if follows, err := v.follows(w); w.Released() || follows || err != nil {
			return w, err
		}
	}
	return nil, nil //nolint:nilnil // nothing is in the way
}

// forgetWaits has the group wait for nothing that is gone, from its next row on.
func (v *visit) forgetWaits(id string) {
	if id != "" && id == v.group.Waits {
		v.group.Waits, v.group.Used = "", time.Time{}
	}
}

// follows tells whether the message belongs to an open request. An allowed Welcome
// does not: it lets the request go.
func (v *visit) follows(w *Waiting) (bool, error) {
	switch {
	case v.m.Kind == mls.KindWelcome:
		return w.Actor == v.m.Actor && v.m.Fate == Await && !w.Over, nil
	case w.Actor == v.m.Actor || marked(w.Others, mark(v.m.Actor)):
		if v.group.Joined > notJoined {
			return holdsGroup(v.l, w, hex.EncodeToString(v.group.Name))
		}
		return true, nil
	case v.group.Joined > notJoined || v.group.has(v.m.Actor):
		return false, nil
	}
	known, err := isKnown(v.l, v.m.Owner, v.m.Actor)
	return !known, err
}

// isKnown tells whether an invitation of the actor's was ever delivered to o, or accepted by them.
func isKnown(l Ledger, o Owner, actor string) (bool, error) {
	var who acquaintance
	_, err := read(l, senderRowOf(o, actor), &who)
	return who.Invited || who.Approved, err
}

// waiting gives what waits under id, nil when there is nothing (any more).
func (v *visit) waiting(id string) (*Waiting, error) {
	if id == "" {
		return nil, nil //nolint:nilnil // nothing waits
	}
	return readWaiting(v.l, v.m.Owner, id, v.now)
}

// welcome delivers an invitation, or has it wait. One that is allowed lets go what
// the same actor has waiting, and goes behind it.
func (v *visit) welcome() (Result, error) {
	if v.m.Fate == Await {
		return v.open()
	}
	old, err := v.waiting(RequestID(v.m.Actor))
	if err != nil {
		return Result{}, err
	}
	if old == nil {
		return v.deliverWelcome()
	}
	if old.Dropped || old.Over {
		if err := v.remove(old); err != nil {
			return Result{}, err
		}
		return v.deliverWelcome()
	}
	if err := release(v.l, old, v.now); err != nil {
		return Result{}, err
	}
	return v.wait(old)
}

func (v *visit) deliverWelcome() (Result, error) {
	result, err := v.l.Deliver(v.m)
	if err != nil || result.Err != nil {
		return result, err
	}
	return result, welcomed(v.l, v.m, v.now)
}

// welcomed notes that a Welcome was delivered: its context names a joined group, and
// its sender has been let in.
func welcomed(l Ledger, m *Message, now time.Time) error {
	if m.Context != "" {
		row := Row{Kind: contextRow, Owner: m.Owner, Name: m.Context}
		if err := write(l, row, conversation{Used: now}, contextLife); err != nil {
			return err
		}
	}
	row := senderRowOf(m.Owner, m.Actor)
	var who acquaintance
	if _, err := read(l, row, &who); err != nil || who.Invited {
		return err
	}
	who.Invited = true
	return write(l, row, &who, who.life())
}

func senderRowOf(o Owner, actor string) Row { return Row{Kind: senderRow, Owner: o, Name: actor} }

// member has a message of a joined group from somebody seen in it.
func (v *visit) member() (Result, error) {
	if v.m.Fate == Slow {
		return v.slow()
	}
	result, err := v.l.Deliver(v.m)
	if err != nil || result.Err != nil {
		return result, err
	}
	return result, v.used()
}

// used notes, not too often, that the group is alive.
func (v *visit) used() error {
	if v.now.Sub(v.group.Used) < refreshAfter {
		return nil
	}
	v.group.Used = v.now
	return keepGroup(v.l, v.m.Owner, &v.group)
}

// stranger has a message, no Welcome, of a group that is not joined, or from somebody
// not seen in it: it goes on the sender's allowance, and waits when that is spent.
func (v *visit) stranger() (Result, error) {
	row := senderRowOf(v.m.Owner, v.m.Actor)
	var who acquaintance
	if _, err := read(v.l, row, &who); err != nil {
		return Result{}, err
	}
	size := int64(len(v.m.Activity))
	if who.Messages >= v.d.Messages || who.Bytes+size > v.d.MessageBytes {
		return v.open()
	}
	result, err := v.l.Deliver(v.m)
	if err != nil || result.Err != nil {
		return result, err
	}
	who.Messages, who.Bytes = who.Messages+1, who.Bytes+size
	if err := write(v.l, row, &who, who.life()); err != nil {
		return Result{}, err
	}
	if v.m.Group == nil {
		return result, nil
	}
	v.group.meet(v.m.Actor)
	v.group.Used = v.now
	return result, keepGroup(v.l, v.m.Owner, &v.group)
}
