package inboxtest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

func testWelcomeWaits(t *testing.T, b *bench) {
	welcome := letter("bob", stranger, "welcome", "", 1)
	if r := b.waits(t, welcome); r.Request != inbox.RequestID(stranger) {
		t.Errorf("%+v, want the request it opened", r)
	}
	follow := letter("bob", stranger, "commit", "g", 1)
	if r := b.waits(t, follow); r.Request != "" {
		t.Errorf("%+v, want no second request", r)
	}
	for _, again := range []inbox.Message{welcome, follow} {
		if r := b.enter(t, again); !errors.Is(r.Err, inbox.ErrDuplicate) || r.Delivered() {
			t.Errorf("again: %+v", r)
		}
	}
	if u := b.usage(t, "bob"); u != (inbox.Usage{}) {
		t.Errorf("what waits is in the mailbox: %+v", u)
	}
	if _, err := b.Find(t.Context(), "bob", welcome.ActivityID); !errors.Is(err, inbox.ErrNotFound) {
		t.Errorf("what waits is found: %v", err)
	}
	all := b.requests(t, "bob")
	want := inbox.Waiting{
		ID: inbox.RequestID(stranger), Owner: "bob", Actor: stranger, Host: "new.example", Since: b.clock.Now(),
		Ends: b.clock.Now().Add(door.Life), Messages: 2, Welcomes: 1,
		Bytes: int64(len(welcome.Activity) + len(follow.Activity)), First: 1, Next: 3,
	}
	if len(all) != 1 || !reflect.DeepEqual(all[0], want) {
		t.Errorf("%+v, want %+v", all, want)
	}
	if len(b.requests(t, "carol")) != 0 {
		t.Errorf("carol sees bob's request, yet %+v", b.usage(t, "bob"))
	}
	b.delivered(t, letter("bob", friend, "application", "h", 1)) // nobody else waits
}

func testAcceptedInOrder(t *testing.T, b *bench) {
	all := []inbox.Message{letter("bob", stranger, "welcome", "", 1)}
	all[0].Context = "uri:uuid:1"
	for n := range 5 {
		all = append(all, letter("bob", stranger, "application", "g", n))
	}
	other := letter("bob", "https://third.example/users/member", "commit", "g", 1) // of the same group
	byContext := letter("bob", "https://fourth.example/users/member", "commit", "not yet known", 1)
	byContext.Context = all[0].Context
	all = append(all, other, byContext)
	for _, m := range all {
		b.waits(t, m)
	}
	before := letter("bob", friend, "application", "h", 1)
	b.delivered(t, before)
	b.accept(t, "bob", stranger)
	b.wantIDs(t, "bob", append([]inbox.Message{before}, all...)...)
	if got := b.after(t, "bob", 1, 1)[0]; string(got.Activity) != string(all[0].Activity) || got.Fate != "" || got.Context != "" {
		t.Errorf("%+v", got)
	}
	if len(b.requests(t, "bob")) != 0 {
		t.Errorf("the request is still there: %+v", b.requests(t, "bob"))
	}
	if err := b.Inbox.AcceptRequest(t.Context(), "bob", inbox.RequestID(stranger)); !errors.Is(err, inbox.ErrNoRequest) {
		t.Errorf("accepted twice: %v", err)
	}
	for _, m := range all {
		if r := b.enter(t, m); !errors.Is(r.Err, inbox.ErrDuplicate) || !r.Delivered() {
			t.Errorf("a redelivery: %+v", r)
		}
	}
	s, err := b.Inbox.Standing(t.Context(), "bob", []byte("g"), stranger)
	if err != nil || s != (inbox.Standing{Joined: true, Seen: true, Approved: true}) {
		t.Errorf("%+v, %v", s, err)
	}
	for n := range 3 * door.Messages {
		b.delivered(t, letter("bob", other.Actor, "application", "g", 100+n))
	}
}

func testAcceptNeedsRoom(t *testing.T, b *bench) {
	big := sized(letter("bob", stranger, "welcome", "", 1), door.RequestBytes)
	b.waits(t, big)
	if r := b.enter(t, letter("bob", stranger, "commit", "g", 1)); !errors.Is(r.Err, inbox.ErrFull) {
		t.Errorf("over the request's bound: %+v", r)
	}
	full := sized(Sample("bob", 1), quota-1)
	b.append(t, full)
	if err := b.Inbox.AcceptRequest(t.Context(), "bob", inbox.RequestID(stranger)); !errors.Is(err, inbox.ErrFull) {
		t.Errorf("accepted into a full mailbox: %v", err)
	}
	if len(b.requests(t, "bob")) != 1 || b.usage(t, "bob").Total != 1 {
		t.Errorf("a refused accept changed something, yet %+v", b.usage(t, "bob"))
	}
	b.clock.Advance(11 * time.Hour)
	if err := b.Store.(inbox.Keeper).Trim(t.Context(), "bob", 1); err != nil {
		t.Fatal(err)
	}
	full = sized(Sample("bob", 2), quota-door.RequestBytes)
	b.append(t, full)
	b.accept(t, "bob", stranger) // it fits to the byte
	b.wantIDs(t, "bob", full, big)
}

// testAcceptedInParts: of a request with more in it than the mailbox takes, the rest follows when there is room, before
// what came after it; all its groups are joined.
func testAcceptedInParts(t *testing.T, b *bench) {
	quarter := func(kind, group string, n int) inbox.Message {
		return sized(letter("bob", stranger, kind, group, n), door.RequestBytes/4)
	}
	all := []inbox.Message{quarter("welcome", "", 1), quarter("commit", "g", 1), quarter("application", "g", 2), quarter("application", "h", 3)}
	for _, m := range all {
		b.waits(t, m)
	}
	full := sized(Sample("bob", 1), quota-door.RequestBytes/2)
	b.append(t, full)
	b.accept(t, "bob", stranger)
	b.wantIDs(t, "bob", full, all[0], all[1])
	if rest := b.requests(t, "bob"); len(rest) != 0 {
		t.Errorf("it asks again: %+v", rest)
	}
	if r := b.enter(t, quarter("commit", "g", 4)); !errors.Is(r.Err, inbox.ErrFull) {
		t.Errorf("what follows has no room: %+v", r)
	}
	if next := b.letGo(t); !next.Equal(b.clock.Now().Add(time.Minute)) {
		t.Errorf("next at %v", next)
	}
	if err := b.Store.(inbox.Keeper).Trim(t.Context(), "bob", 1); err != nil {
		t.Fatal(err)
	}
	behind := quarter("commit", "g", 4)
	b.waits(t, behind)
	b.clock.Advance(time.Minute)
	b.letGo(t)
	b.wantIDs(t, "bob", append(all, behind)...)
	for _, group := range []string{"g", "h"} {
		if s, err := b.Inbox.Standing(t.Context(), "bob", []byte(group), stranger); err != nil || s != (inbox.Standing{Joined: true, Seen: true, Approved: true}) {
			t.Errorf("%s: %+v, %v", group, s, err)
		}
	}
	for n := range door.Requests { // it was counted out
		b.waits(t, letter("bob", fmt.Sprint("https://h.example/users/", n), "welcome", "", 1))
	}
	if got := len(b.requests(t, "bob")); got != door.Requests {
		t.Errorf("%d requests", got)
	}
}

// testOverflownRequest: a request that a firm message does not fit is emptied and stays: accepting it lets its sender
// invite anew, and so does a new Welcome by itself.
func testOverflownRequest(t *testing.T, b *bench) {
	firm := func(o inbox.Owner, kind string, n int, size int64) inbox.Message {
		m := sized(letter(o, stranger, kind, "g", n), size)
		m.Firm = true
		return m
	}
	for _, o := range []inbox.Owner{"bob", "carol"} {
		b.waits(t, firm(o, "welcome", 1, 100))
		b.waits(t, firm(o, "commit", 1, door.RequestBytes-100))
		if r := b.enter(t, firm(o, "commit", 2, 100)); r != (inbox.Result{Overflown: 1}) {
			t.Errorf("%+v", r)
		}
		if r := b.enter(t, firm(o, "commit", 3, 100)); r != (inbox.Result{}) {
			t.Errorf("what follows: %+v", r)
		}
		all := b.requests(t, o)
		if len(all) != 1 || !all[0].Over || all[0].Messages != 0 || all[0].Bytes != 0 {
			t.Errorf("%+v", all)
		}
	}
	b.accept(t, "bob", stranger)
	if b.usage(t, "bob").Total != 0 || len(b.requests(t, "bob")) != 0 {
		t.Errorf("bob has %+v", b.usage(t, "bob"))
	}
	if s, err := b.Inbox.Standing(t.Context(), "bob", nil, stranger); err != nil || !s.Approved {
		t.Errorf("%+v, %v", s, err)
	}
	again := b.waits(t, firm("carol", "welcome", 2, 100))
	b.waits(t, firm("carol", "commit", 4, 100))
	if all := b.requests(t, "carol"); again.Request == "" || len(all) != 1 || all[0].Over || all[0].Messages != 2 {
		t.Errorf("%+v %+v", again, all)
	}
	b.accept(t, "carol", stranger)
	if b.usage(t, "carol").Total != 2 {
		t.Errorf("carol has %+v", b.usage(t, "carol"))
	}
	for n := range 2 * door.Requests { // its bytes were counted out
		b.waits(t, letter("bob", fmt.Sprint("https://h.example/users/", n), "welcome", "", 1))
	}
}

func testDroppedRequest(t *testing.T, b *bench) {
	welcome, follow := letter("bob", stranger, "welcome", "", 1), letter("bob", stranger, "commit", "g", 1)
	b.waits(t, welcome)
	b.waits(t, follow)
	if err := b.Inbox.DropRequest(t.Context(), "bob", inbox.RequestID(stranger)); err != nil {
		t.Fatal(err)
	}
	if err := b.Inbox.DropRequest(t.Context(), "bob", inbox.RequestID(stranger)); !errors.Is(err, inbox.ErrNoRequest) {
		t.Errorf("dropped twice: %v", err)
	}
	if err := b.Inbox.AcceptRequest(t.Context(), "bob", inbox.RequestID(stranger)); !errors.Is(err, inbox.ErrNoRequest) {
		t.Errorf("accepted after all: %v", err)
	}
	for _, m := range []inbox.Message{letter("bob", stranger, "commit", "g", 2), letter("bob", stranger, "welcome", "", 2)} {
		if r := b.enter(t, m); r != (inbox.Result{}) {
			t.Errorf("what follows a dropped request: %+v", r)
		}
	}
	for _, m := range []inbox.Message{welcome, follow} {
		if r := b.enter(t, m); !errors.Is(r.Err, inbox.ErrDuplicate) || r.Delivered() {
			t.Errorf("a redelivery: %+v", r)
		}
	}
	if len(b.requests(t, "bob")) != 0 || len(b.ids(t, "bob")) != 0 {
		t.Errorf("something of it is left, yet %+v", b.usage(t, "bob"))
	}
	invited := letter("bob", stranger, "welcome", "", 3)
	invited.Fate = inbox.Admit // bob follows them now
	b.delivered(t, invited)
	b.delivered(t, letter("bob", stranger, "commit", "g", 3))
}

func testRequestExpires(t *testing.T, b *bench) {
	b.waits(t, letter("bob", stranger, "welcome", "", 1))
	b.clock.Advance(door.Life - time.Second)
	b.waits(t, letter("bob", stranger, "commit", "g", 1))
	b.clock.Advance(time.Second)
	if all := b.requests(t, "bob"); len(all) != 0 {
		t.Errorf("%+v", all)
	}
	if err := b.Inbox.AcceptRequest(t.Context(), "bob", inbox.RequestID(stranger)); !errors.Is(err, inbox.ErrNoRequest) {
		t.Errorf("accepted after its end: %v", err)
	}
	again := letter("bob", stranger, "welcome", "", 2)
	if r := b.waits(t, again); r.Request == "" {
		t.Errorf("a request after an expired one is no new one, yet %+v", b.usage(t, "bob"))
	}
	b.accept(t, "bob", stranger)
	b.wantIDs(t, "bob", again)
}

func testMemberNeverWaits(t *testing.T, b *bench) {
	b.learn(t, inbox.Lesson{Owner: "bob", Group: []byte("g"), Members: []string{friend}})
	for n := range 10 * door.Messages {
		m := letter("bob", friend, "commit", "g", n)
		m.Fate = []inbox.Fate{inbox.Admit, inbox.Await}[n%2]
		b.delivered(t, m)
	}
	unseen := letter("bob", stranger, "commit", "g", 1)
	b.delivered(t, unseen) // on its allowance
	for n := range 10 * door.Messages {
		b.delivered(t, letter("bob", stranger, "commit", "g", 10+n))
	}
	if s, err := b.Inbox.Standing(t.Context(), "bob", []byte("g"), stranger); err != nil || s != (inbox.Standing{Joined: true, Seen: true}) {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := b.Inbox.Standing(t.Context(), "carol", []byte("g"), friend); err != nil || s != (inbox.Standing{}) {
		t.Errorf("carol: %+v, %v", s, err)
	}
}

func testConversationIsJoined(t *testing.T, b *bench) {
	welcome := letter("bob", friend, "welcome", "", 1)
	welcome.Fate, welcome.Context = inbox.Admit, "uri:uuid:1"
	b.delivered(t, welcome)
	m := letter("bob", stranger, "commit", "g", 1)
	m.Context = welcome.Context
	b.delivered(t, m)
	if s, err := b.Inbox.Standing(t.Context(), "bob", []byte("g"), stranger); err != nil || s != (inbox.Standing{Joined: true, Seen: true}) {
		t.Errorf("%+v, %v", s, err)
	}
	for n := range 3 * door.Messages {
		b.delivered(t, letter("bob", stranger, "commit", "g", 10+n))
	}
}

// testKnownStaysBehind: who has become known goes behind what of theirs waits in another's request.
func testKnownStaysBehind(t *testing.T, b *bench) {
	b.waits(t, letter("bob", stranger, "welcome", "", 1))
	b.waits(t, letter("bob", stranger, "commit", "g", 1))
	all := []inbox.Message{letter("bob", friend, "commit", "g", 1), letter("bob", friend, "commit", "g", 2)}
	b.waits(t, all[0])
	welcome := letter("bob", friend, "welcome", "", 1)
	welcome.Fate = inbox.Admit
	b.delivered(t, welcome)
	b.waits(t, all[1])
	b.accept(t, "bob", stranger)
	if got := b.ids(t, "bob"); !slices.Equal(got[3:], []string{all[0].ActivityID, all[1].ActivityID}) {
		t.Errorf("%q", got)
	}
}

// testDropSparesKnown: dropping a request loses nothing of who has become known since.
func testDropSparesKnown(t *testing.T, b *bench) {
	b.waits(t, letter("bob", stranger, "welcome", "", 1))
	b.waits(t, letter("bob", stranger, "commit", "g", 1))
	all := []inbox.Message{letter("bob", friend, "commit", "g", 1), letter("bob", friend, "commit", "g", 2), letter("bob", friend, "commit", "g", 3)}
	b.waits(t, all[0])
	b.waits(t, letter("bob", "https://third.example/users/unknown", "commit", "g", 1))
	welcome := letter("bob", friend, "welcome", "", 1)
	welcome.Fate = inbox.Admit
	b.delivered(t, welcome)
	b.waits(t, all[1])
	if err := b.Inbox.DropRequest(t.Context(), "bob", inbox.RequestID(stranger)); err != nil {
		t.Fatal(err)
	}
	b.waits(t, all[2]) // behind the others
	b.letGo(t)
	b.wantIDs(t, "bob", append([]inbox.Message{welcome}, all...)...)
	if r := b.enter(t, letter("bob", stranger, "commit", "g", 2)); r.Delivered() || r.Err != nil {
		t.Errorf("what follows the dropped request: %+v", r)
	}
}
