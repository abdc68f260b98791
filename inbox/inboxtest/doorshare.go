package inboxtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sealgate/sealgate/inbox"
)

// The kinds of rows that only inbox writes.
const (
	headRow = inbox.RowKind('w')
	share   = quota / 2
)

// charged is what a sender has of their share, as the store counts it.
func (b *bench) charged(ctx context.Context, o inbox.Owner, actor string) (bytes int64, err error) {
	err = b.Store.(inbox.Books).ReadRows(ctx, func(l inbox.Ledger) error {
		left, err := l.Share(o, actor)
		bytes = share - left
		return err
	})
	return bytes, err
}

// there are the bytes of a sender's that are in the mailbox, or wait in what has not ended.
func (b *bench) there(ctx context.Context, o inbox.Owner, actor string) (bytes int64, err error) {
	es, err := b.After(ctx, o, 0, 10_000)
	if err != nil {
		return 0, err
	}
	for _, e := range es {
		if e.Actor == actor {
			bytes += int64(len(e.Activity))
		}
	}
	err = b.Store.(inbox.Books).ReadRows(ctx, func(l inbox.Ledger) error {
		heads, err := l.Rows(headRow, o, "")
		for _, value := range heads {
			n, bad := b.waiting(l, o, actor, value)
			bytes, err = bytes+n, errors.Join(err, bad)
		}
		return err
	})
	return bytes, err
}

func (b *bench) waiting(l inbox.Ledger, o inbox.Owner, actor string, head []byte) (bytes int64, err error) {
	var w inbox.Waiting
	if err := json.Unmarshal(head, &w); err != nil {
		return 0, err
	}
	if !w.Released() && !b.clock.Now().Before(w.Ends) {
		return 0, nil
	}
	rows, err := l.Rows(inbox.WaitingRow, o, w.ID)
	for _, value := range rows {
		m, bad := inbox.DecodeWaiting(o, value)
		if m.Actor == actor {
			bytes += int64(len(m.Activity))
		}
		err = errors.Join(err, bad)
	}
	return bytes, err
}

// addsUp says what is wrong with what is counted of the actors.
func (b *bench) addsUp(ctx context.Context, o inbox.Owner, actors ...string) error {
	for _, actor := range actors {
		charged, err := b.charged(ctx, o, actor)
		there, other := b.there(ctx, o, actor)
		if err := errors.Join(err, other); err != nil {
			return err
		}
		if charged != there || charged > share {
			return fmt.Errorf("%s is charged %d bytes of %d and has %d", actor, charged, share, there)
		}
	}
	return nil
}

// testSharesAddUp: whatever way messages come, wait and go, each sender is charged what of theirs is in the mailbox or
// waits, and that is never more than their share.
func testSharesAddUp(t *testing.T, b *bench) {
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		w := &shareModel{bench: b, owner: inbox.Owner(fmt.Sprintf("sharer %d", run))}
		rt.Repeat(map[string]func(*rapid.T){
			"send":   w.send,
			"learn":  func(rt *rapid.T) { w.anyLesson(rt, w.owner) },
			"let go": func(rt *rapid.T) { w.age(rt, time.Minute) },
			"age":    func(rt *rapid.T) { w.age(rt, time.Duration(rapid.IntRange(0, 20).Draw(rt, "hours"))*time.Hour) },
			"accept": func(rt *rapid.T) { w.decide(rt, b.Inbox.AcceptRequest) },
			"drop":   func(rt *rapid.T) { w.decide(rt, b.Inbox.DropRequest) },
			"sever":  func(rt *rapid.T) { w.decide(rt, w.sever) },
			"trim":   w.trim,
			"": func(rt *rapid.T) {
				if err := b.addsUp(rt.Context(), w.owner, doorActors...); err != nil {
					rt.Fatal(err)
				}
			},
		})
	})
}

type shareModel struct {
	*bench
	owner inbox.Owner
	n     int
}

func (w *shareModel) send(rt *rapid.T) {
	w.n++
	m := w.anyLetter(rt, w.owner, w.n)
	m.Firm = rapid.Bool().Draw(rt, "firm")
	m.Activity = make([]byte, rapid.SampledFrom([]int{0, 100, 3 << 10, 7 << 10, 12 << 10}).Draw(rt, "size"))
	w.takes(rt, m)
}

// age lets time pass, and go what is due.
func (w *shareModel) age(rt *rapid.T, by time.Duration) {
	w.clock.Advance(by)
	if _, err := w.Inbox.LetGo(rt.Context()); err != nil {
		rt.Fatal(err)
	}
}

func (w *shareModel) decide(rt *rapid.T, f func(ctx context.Context, o inbox.Owner, id string) error) {
	err := f(rt.Context(), w.owner, inbox.RequestID(rapid.SampledFrom(doorActors).Draw(rt, "actor")))
	if err != nil && !errors.Is(err, inbox.ErrNoRequest) && !errors.Is(err, inbox.ErrFull) {
		rt.Fatal(err)
	}
}

// sever cuts somebody off, and takes that back.
func (w *shareModel) sever(ctx context.Context, o inbox.Owner, id string) error {
	for _, actor := range doorActors {
		if inbox.RequestID(actor) == id {
			s := inbox.Severed{Who: actor, Owner: o}
			return errors.Join(w.Inbox.Sever(ctx, s, []inbox.Owner{o}), w.Inbox.Rejoin(ctx, s))
		}
	}
	return inbox.ErrNoRequest
}

func (w *shareModel) trim(rt *rapid.T) {
	u, err := w.Usage(rt.Context(), w.owner)
	if err == nil {
		through := u.First + inbox.Position(rapid.IntRange(0, u.Total).Draw(rt, "messages"))
		err = w.Store.(inbox.Keeper).Trim(rt.Context(), w.owner, min(through, u.Last))
	}
	if err != nil {
		rt.Fatal(err)
	}
}

// testWaitingHasAShare: what waits counts as what is in the mailbox does: in a slowed group, and in a request.
func testWaitingHasAShare(t *testing.T, b *bench) {
	b.learn(t, inbox.Lesson{Owner: "bob", Group: []byte("g"), Members: []string{friend}})
	n := 0
	next := func(actor, kind string, fate inbox.Fate, size int64) inbox.Message {
		n++
		m := sized(letter("bob", actor, kind, "g", n), size)
		m.Fate, m.Until = fate, b.clock.Now().Add(time.Minute)
		return m
	}
	full := func(m inbox.Message) {
		t.Helper()
		if r := b.enter(t, m); !errors.Is(r.Err, inbox.ErrFull) {
			t.Fatalf("over the share: %+v", r)
		}
	}
	for range 8 {
		b.waits(t, next(friend, "application", inbox.Slow, share/8))
	}
	full(next(friend, "application", inbox.Slow, 1))
	full(next(friend, "welcome", inbox.Await, 1))
	b.waits(t, next(stranger, "welcome", inbox.Await, 1)) // it is theirs alone
	b.clock.Advance(time.Minute)
	b.letGo(t)
	if u := b.usage(t, "bob"); u.Bytes != share {
		t.Errorf("%+v is in the mailbox", u)
	}
	full(next(friend, "application", inbox.Admit, 1))
	if err := b.Store.(inbox.Keeper).Trim(t.Context(), "bob", 2); err != nil {
		t.Fatal(err)
	}
	b.waits(t, next(friend, "welcome", inbox.Await, share/4))
	full(next(friend, "application", inbox.Admit, 1))
	if err := b.Inbox.DropRequest(t.Context(), "bob", inbox.RequestID(friend)); err != nil {
		t.Fatal(err)
	}
	b.delivered(t, next(friend, "application", inbox.Admit, share/4))
}

// testOverflowBeforeShare: what a person here sends to one of many does not fail for the others because a request and its
// sender's share are full at once.
func testOverflowBeforeShare(t *testing.T, b *bench) {
	b.delivered(t, sized(letter("bob", stranger, "application", "h", 1), door.MessageBytes))
	for n, size := range []int64{door.RequestBytes, share - door.RequestBytes - door.MessageBytes + 1} {
		m := sized(letter("bob", stranger, "welcome", "", n), size)
		m.Firm = true
		if r := b.enter(t, m); r.Err != nil || r.Waits != (n == 0) || r.Overflown != n {
			t.Errorf("message %d: %+v", n, r)
		}
	}
}

// testReleasedStays: what has been let go and finds no room is kept, and counted, for as long as that takes.
func testReleasedStays(t *testing.T, b *bench) {
	welcome := letter("bob", stranger, "welcome", "", 1)
	b.waits(t, welcome)
	fill := letter("bob", friend, "application", "h", 1)
	fill.Fate, fill.Activity = inbox.Kept, make([]byte, quota-2*len(welcome.Activity))
	allowed := letter("bob", stranger, "welcome", "", 2)
	allowed.Fate = inbox.Admit
	b.waits(t, allowed)
	b.delivered(t, fill)
	one := letter("bob", friend, "application", "h", 2)
	one.Fate, one.Activity = inbox.Kept, make([]byte, len(welcome.Activity)+1)
	b.delivered(t, one)
	for range 2 {
		b.letGo(t)
		if err := b.addsUp(t.Context(), "bob", stranger); err != nil {
			t.Error(err)
		}
		b.clock.Advance(door.Life)
	}
	b.clock.Advance(24*time.Hour + retention/10) // the mailbox has run empty
	b.letGo(t)
	b.wantIDs(t, "bob", welcome, allowed)
}
