package inbox

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/sealgate/sealgate/authority"
	"github.com/sealgate/sealgate/inbox/mls"
)

// ErrNoRequest means that there is no message request with that id.
var ErrNoRequest = errors.New("inbox: no such message request")

// maxWaiting is how many messages one request can hold, so that it can be let go in
// one transaction.
const maxWaiting = 512

// queueStart is the number of a queue's first message: some can still be put before it.
const queueStart = 1 << 32

// Waiting is a message request, or the queue of a group that policy slowed: messages
// for one person in the order they came, which go into the mailbox in that order.
type Waiting struct {
	ID       string    `json:"id"`
	Owner    Owner     `json:"o"`
	Actor    string    `json:"a,omitempty"` // who asks; "" for a queue
	Group    string    `json:"g,omitempty"` // whose queue it is: its row's name in hex
	From     []string  `json:"r,omitempty"` // of a queue: the requests out of which the group's messages come first
	To       []string  `json:"t,omitempty"` // of a request: the queues that take messages out of it
	Host     string    `json:"h,omitempty"` // of Actor
	Since    time.Time `json:"s"`
	Ends     time.Time `json:"e,omitzero"`  // of a request
	Due      time.Time `json:"d,omitzero"`  // when it is let go; zero: when somebody accepts
	Accepted bool      `json:"y,omitempty"` // by the person: the groups of what waits in it are joined
	Dropped  bool      `json:"x,omitempty"`
	Over     bool      `json:"v,omitempty"` // more came than fits: nothing waits in it any more, its sender has to invite anew
	Messages int       `json:"m"`
	Welcomes int       `json:"w,omitempty"`
	Bytes    int64     `json:"b"`
	First    uint64    `json:"f"`           // number of the first message
	Next     uint64    `json:"n"`           // number of the next message
	Others   []byte    `json:"q,omitempty"` // marks of those whose messages wait in it besides Actor's
}

// Released tells whether nobody need accept it any more.
func (w *Waiting) Released() bool { return !w.Due.IsZero() }

// over tells whether a request has expired.
func (w *Waiting) over(now time.Time) bool { return !w.Released() && !now.Before(w.Ends) }

// isFrom tells whether an actor, or somebody of a host, asks.
func (w *Waiting) isFrom(who string) bool { return w.Actor == who || strings.EqualFold(w.Host, who) }

// RequestID is the id of an actor's message request to anybody.
func RequestID(actor string) string { return shortID("request", actor) }

func shortID(kind, name string) string {
	sum := sha256.Sum256([]byte(kind + " " + name))
	return hex.EncodeToString(sum[:16])
}

func headRowOf(o Owner, id string) Row { return Row{Kind: headRow, Owner: o, Name: id} }

func readWaiting(l Ledger, o Owner, id string, now time.Time) (*Waiting, error) {
	w := &Waiting{}
	known, err := read(l, headRowOf(o, id), w)
	if !known || w.over(now) {
		return nil, err
	}
	return w, err
}

// due is when something that waits must be let go.
type due struct {
	Owner Owner     `json:"o"`
	ID    string    `json:"i"`
	At    time.Time `json:"t"`
}

// DueOwner tells of whom a DueRow is.
func DueOwner(value []byte) (Owner, error) {
	var d due
	err := json.Unmarshal(value, &d)
	return d.Owner, err
}

func dueRowOf(o Owner, id string) Row { return Row{Kind: DueRow, Name: string(o) + " " + id} }

// release has w let go as soon as it can be: in a transaction of its own, which is
// large. Until then everything that belongs to it goes behind it.
func release(l Ledger, w *Waiting, at time.Time) error {
	w.Due = at
	if err := write(l, dueRowOf(w.Owner, w.ID), due{w.Owner, w.ID, at}, 0); err != nil {
		return err
	}
	return write(l, headRowOf(w.Owner, w.ID), w, 0)
}

// open puts the message into its actor's request, which it may begin.
func (v *visit) open() (Result, error) {
	id := RequestID(v.m.Actor)
	w, err := v.waiting(id)
	if err != nil {
		return Result{}, err
	}
	if w != nil && (!w.Over || v.m.Kind != mls.KindWelcome) {
		return v.wait(w)
	}
	if err := v.forgetOver(id); err != nil {
		return Result{}, err
	}
	w = &Waiting{
		ID: id, Owner: v.m.Owner, Actor: v.m.Actor, Host: authority.Of(v.m.Actor),
		Since: v.now, Ends: v.now.Add(v.d.Life), First: 1, Next: 1,
	}
	if err := v.makeRoom(id, 1, int64(len(v.m.Activity))); err != nil {
		return Result{}, err
	}
	result, err := v.wait(w)
	if result.Waits {
		result.Request = id
	}
	return result, err
}

// forgetOver removes a request of the same actor that has expired, or overflown.
func (v *visit) forgetOver(id string) error {
	var old Waiting
	known, err := read(v.l, headRowOf(v.m.Owner, id), &old)
	if !known || err != nil {
		return err
	}
	if old.over(v.now) && !old.Dropped {
		v.gone.Expired++
	}
	return v.remove(&old)
}

// queueOf is the queue of a group: all its messages wait in it, whoever sends them,
// so that their order stays. A new one is empty and not kept yet.
func queueOf(l Ledger, o Owner, g *membership, now time.Time) (*Waiting, error) {
	id := shortID("queue", string(g.Name))
	w, err := readWaiting(l, o, id, now)
	if w == nil && err == nil {
		w = &Waiting{ID: id, Owner: o, Group: hex.EncodeToString(g.Name), Since: now, First: queueStart, Next: queueStart}
	}
	return w, err
}

// slow opens the group's queue until policy's time.
func (v *visit) slow() (Result, error) {
	w, err := queueOf(v.l, v.m.Owner, &v.group, v.now)
	if err != nil {
		return Result{}, err
	}
	if err := release(v.l, w, v.m.Until); err != nil {
		return Result{}, err
	}
	return v.wait(w)
}

// wait puts the message at the end of w.
func (v *visit) wait(w *Waiting) (Result, error) {
	if w.Dropped || w.Over {
		return Result{}, nil
	}
	size := int64(len(v.m.Activity))
	full, err := v.overfills(w, size)
	switch {
	case err != nil:
		return Result{}, err
	case full && v.m.Firm && !w.Released():
		return Result{}, v.overflow(w)
	case full:
		return Result{Err: ErrFull}, nil
	}
	if err := put(v.l, w, v.m, v.now); err != nil {
		return Result{}, err
	}
	if v.m.Actor != w.Actor && !w.Released() && !marked(w.Others, mark(v.m.Actor)) {
		w.Others = append(w.Others, mark(v.m.Actor)...)
	}
	if v.m.Kind == mls.KindWelcome {
		w.Welcomes++
	}
	if err := write(v.l, headRowOf(w.Owner, w.ID), w, w.left(v.now)); err != nil {
		return Result{}, err
	}
	return Result{Waits: true}, v.bind(w)
}

// put adds a message to w, whose own row is still to be written.
func put(l Ledger, w *Waiting, m *Message, now time.Time) error {
	if err := l.SetRow(w.row(w.Next), encodeWaiting(m, w.ends()), w.left(now)); err != nil {
		return err
	}
	w.Next, w.Messages, w.Bytes = w.Next+1, w.Messages+1, w.Bytes+int64(len(m.Activity))
	return nil
}

// overflow empties a request that a message of people here does not fit: they cannot send it again to one of many
// recipients, and with a hole in it what waits would open no group. That somebody asked stays.
func (v *visit) overflow(w *Waiting) error {
	bytes := w.Bytes
	if err := empty(v.l, w, v.now); err != nil {
		return err
	}
	w.Over = true
	v.gone.Overflown++
	if err := write(v.l, headRowOf(w.Owner, w.ID), w, w.Ends.Sub(v.now)); err != nil {
		return err
	}
	return countOut(v.l, w.Owner, 0, bytes)
}

// overfills tells whether size more bytes are too many: for their sender's share, for a
// request by its own bounds, for what is being let go by the mailbox it goes to.
func (v *visit) overfills(w *Waiting, size int64) (bool, error) {
	if v.spent {
		return true, nil
	}
	if w.Released() {
		room, err := v.l.Room(w.Owner)
		return w.Bytes+size > room, err
	}
	if w.Messages >= maxWaiting || w.Bytes+size > v.d.RequestBytes {
		return true, nil
	}
	if w.Messages == 0 { // makeRoom has counted it
		return false, nil
	}
	return false, v.makeRoom(w.ID, 0, size)
}

// left is how long rows of w are kept from now on; what is let go is removed when it has arrived.
func (w *Waiting) left(now time.Time) time.Duration {
	if w.ends().IsZero() {
		return 0
	}
	return w.Ends.Sub(now)
}

// ends is when a message that is put into w now is forgotten, zero when it is not.
func (w *Waiting) ends() time.Time {
	if w.Released() {
		return time.Time{}
	}
	return w.Ends
}

// lasting has what was put into w before it was let go be forgotten no more.
func lasting(l Ledger, w *Waiting) error {
	for n := w.First; n < w.Next && !w.Ends.IsZero(); n++ {
		value, err := l.Row(w.row(n))
		if err != nil {
			return err
		}
		if value == nil {
			continue
		}
		one, activity, err := splitWaiting(value)
		if err != nil {
			return err
		}
		if one.Ends.IsZero() {
			break // it came afterwards, and so did the rest
		}
		one.Ends = time.Time{}
		if err := l.SetRow(w.row(n), one.encode(activity), 0); err != nil {
			return err
		}
	}
	w.Ends = time.Time{}
	return nil
}

// bind notes what belongs to w: the context of a Welcome that waits, and the group
// of a message that does.
func (v *visit) bind(w *Waiting) error {
	if v.m.Kind == mls.KindWelcome && v.m.Context != "" && !v.invited {
		if err := write(v.l, v.contextRow(), conversation{Waits: w.ID, Used: v.now}, contextLife); err != nil {
			return err
		}
	}
	if v.m.Group == nil || v.group.Waits == w.ID && !v.group.isNew && !v.learned {
		return nil
	}
	if !w.Released() && (v.bound || v.group.Joined > notJoined) {
		return nil // only the sender waits here, not the group
	}
	v.group.Waits, v.group.Used = w.ID, v.now
	return keepGroup(v.l, v.m.Owner, &v.group)
}

// remove erases a request and counts it out.
func (v *visit) remove(w *Waiting) error {
	if err := erase(v.l, w, v.now); err != nil {
		return err
	}
	return discount(v.l, w)
}

// empty forgets what waits in a request, but lets go what queues take out of it, and what is of others who have
// become known since.
func empty(l Ledger, w *Waiting, now time.Time) error {
	if err := handOver(l, w, now); err != nil {
		return err
	}
	for n := w.First; n < w.Next && len(w.Others) > 0; n++ {
		one, err := readMessage(l, w, n)
		if err == nil && one != nil && one.Actor != w.Actor && one.Group != nil {
			err = rescue(l, one, now)
		}
		if err != nil {
			return err
		}
	}
	if err := eraseMessages(l, w); err != nil {
		return err
	}
	w.First, w.Messages, w.Welcomes, w.Bytes, w.Others = w.Next, 0, 0, 0, nil
	return nil
}

// rescue puts a message of somebody known into its group's queue, which is due.
func rescue(l Ledger, one *Message, now time.Time) error {
	known, err := isKnown(l, one.Owner, one.Actor)
	if err != nil || !known {
		return err
	}
	g, err := readGroup(l, one.Owner, one.Group)
	if err != nil {
		return err
	}
	queue, err := queueOf(l, one.Owner, g, now)
	if err != nil {
		return err
	}
	if err := put(l, queue, one, now); err != nil {
		return err
	}
	g.Waits = queue.ID
	return cmp.Or(release(l, queue, now), keepGroup(l, one.Owner, g))
}

// erase removes the rows of w, but not what queues take out of it. What was in it is still known as a duplicate.
func erase(l Ledger, w *Waiting, now time.Time) error {
	if err := handOver(l, w, now); err != nil {
		return err
	}
	if err := eraseMessages(l, w); err != nil {
		return err
	}
	if w.Released() {
		if err := l.SetRow(dueRowOf(w.Owner, w.ID), nil, 0); err != nil {
			return err
		}
	}
	return l.SetRow(headRowOf(w.Owner, w.ID), nil, 0)
}

func eraseMessages(l Ledger, w *Waiting) error {
	for n := w.First; n < w.Next; n++ {
		if err := l.SetRow(w.row(n), nil, 0); err != nil {
			return err
		}
	}
	return nil
}

func (w *Waiting) row(n uint64) Row {
	return Row{Kind: WaitingRow, Owner: w.Owner, Name: w.ID, N: n}
}
