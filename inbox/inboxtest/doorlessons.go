package inboxtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// testLessonLetsGo: Bob's device writes in a group whose messages wait. He is in it, so they are due, and
// neither what comes meanwhile nor his own copy overtakes them. The invitation, and what
// belongs to other groups, wait on.
func testLessonLetsGo(t *testing.T, b *bench) {
	welcome, other := letter("bob", stranger, "welcome", "", 1), letter("bob", stranger, "commit", "other", 5)
	all := []inbox.Message{
		letter("bob", stranger, "commit", "g", 1), letter("bob", third, "application", "g", 1), letter("bob", stranger, "commit", "g", 2),
	}
	for _, m := range []inbox.Message{welcome, all[0], other, all[1], all[2]} {
		b.waits(t, m)
	}
	b.learn(t, inbox.Lesson{Owner: "bob", Group: []byte("g"), Members: []string{stranger, third}})
	own := letter("bob", "https://here.example/users/bob", "application", "g", 1)
	own.Fate = inbox.Kept
	behind := letter("bob", stranger, "commit", "g", 3)
	b.waits(t, own)
	b.waits(t, behind)
	b.letGo(t)
	after := letter("bob", stranger, "commit", "g", 4)
	b.delivered(t, after)
	all = append(all, own, behind, after)
	b.wantIDs(t, "bob", all...)
	rest := b.requests(t, "bob")
	if len(rest) != 1 || rest[0].Messages != 2 || rest[0].Welcomes != 1 || rest[0].Bytes != int64(len(welcome.Activity)+len(other.Activity)) {
		t.Fatalf("%+v", rest)
	}
	b.accept(t, "bob", stranger)
	b.wantIDs(t, "bob", append(all, welcome, other)...)
	own.ActivityID += "/later"
	b.delivered(t, own)
}

// testLessonNamesConversation: what a person's own device calls its group leads others' messages to a joined one.
func testLessonNamesConversation(t *testing.T, b *bench) {
	b.learn(t, inbox.Lesson{Owner: "bob", Group: []byte("g"), Context: "uri:uuid:1"})
	m := letter("bob", stranger, "commit", "g after a fork", 1)
	m.Context = "uri:uuid:1"
	b.delivered(t, m)
	for name, want := range map[string]bool{"g after a fork": true, "another": false} {
		if s, err := b.Inbox.Standing(t.Context(), "bob", []byte(name), stranger); err != nil || s.Joined != want {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

// testUsedGroupStays: a group is forgotten after more than a year without use; writing and reading in it are use.
func testUsedGroupStays(t *testing.T, b *bench) {
	lesson := inbox.Lesson{Owner: "bob", Group: []byte("g"), Members: []string{friend}}
	b.learn(t, lesson)
	for n, use := range []func(){
		func() { b.learn(t, lesson) },
		func() { b.delivered(t, letter("bob", friend, "application", "g", 1)) },
		func() { b.learn(t, lesson) },
	} {
		b.clock.Advance(300 * 24 * time.Hour)
		if s, err := b.Inbox.Standing(t.Context(), "bob", []byte("g"), friend); err != nil || s != (inbox.Standing{Joined: true, Seen: true}) {
			t.Fatalf("before use %d: %+v, %v", n, s, err)
		}
		use()
	}
}

// testLessonEmptiesRequest: what waits only as long as its group is not joined leaves no request behind.
func testLessonEmptiesRequest(t *testing.T, b *bench) {
	for n := range door.Messages {
		b.delivered(t, letter("bob", stranger, "application", "elsewhere", n))
	}
	m := letter("bob", stranger, "application", "g", 99)
	b.waits(t, m)
	b.learn(t, inbox.Lesson{Owner: "bob", Group: []byte("g"), Members: []string{stranger}})
	b.letGo(t)
	if got := b.ids(t, "bob"); len(got) != door.Messages+1 || got[door.Messages] != m.ActivityID || len(b.requests(t, "bob")) != 0 {
		t.Errorf("%q, %+v", got, b.requests(t, "bob"))
	}
	for n := range door.Requests { // it was counted out
		b.waits(t, letter("bob", fmt.Sprint("https://h.example/users/", n), "welcome", "", 1))
	}
	if got := len(b.requests(t, "bob")); got != door.Requests {
		t.Errorf("%d requests", got)
	}
}

func testAllowedWelcomeLetsGo(t *testing.T, b *bench) {
	all := []inbox.Message{letter("bob", stranger, "welcome", "", 1), letter("bob", stranger, "commit", "g", 1), letter("bob", stranger, "welcome", "", 2)}
	b.waits(t, all[0])
	b.waits(t, all[1])
	all[2].Fate = inbox.Admit // bob has followed them
	b.waits(t, all[2])
	b.letGo(t)
	b.wantIDs(t, "bob", all...)
	if len(b.requests(t, "bob")) != 0 {
		t.Errorf("the request is still there: %+v", b.requests(t, "bob"))
	}
}

func testSlowGroupKeepsOrder(t *testing.T, b *bench) {
	b.learn(t, inbox.Lesson{Owner: "bob", Group: []byte("g"), Members: []string{friend, stranger}})
	first := letter("bob", friend, "application", "g", 1)
	b.delivered(t, first)
	all := []inbox.Message{first}
	for n := range 6 {
		m := letter("bob", []string{friend, stranger, "https://third.example/users/new"}[n%3], "commit", "g", 10+n)
		if n == 0 {
			m.Fate, m.Until = inbox.Slow, b.clock.Now().Add(time.Minute)
		}
		b.waits(t, m)
		all = append(all, m)
	}
	b.delivered(t, letter("bob", friend, "application", "other", 2))
	all = slices.Insert(all, 1, letter("bob", friend, "application", "other", 2))
	if next := b.letGo(t); !next.Equal(b.clock.Now().Add(time.Minute)) {
		t.Errorf("next at %v", next)
	}
	b.wantIDs(t, "bob", all[:2]...)
	b.clock.Advance(time.Minute)
	b.letGo(t)
	b.wantIDs(t, "bob", all...)
	last := letter("bob", stranger, "commit", "g", 99)
	b.delivered(t, last)
	if len(b.requests(t, "bob")) != 0 {
		t.Errorf("a queue is shown as a request: %+v", b.requests(t, "bob"))
	}
}

func testHiddenStaysHidden(t *testing.T, b *bench) {
	b.learn(t, inbox.Lesson{Owner: "bob", Group: []byte("g"), Members: []string{friend}})
	m := letter("bob", friend, "commit", "g", 1)
	m.Hidden, m.Received = true, time.Date(2026, 1, 1, 0, 0, 0, 999_999_999, time.UTC)
	b.delivered(t, m)
	b.delivered(t, letter("bob", friend, "commit", "g", 2))
	es := b.after(t, "bob", 0, 2)
	if !es[0].Hidden || es[1].Hidden || !es[0].Received.Equal(m.Received) {
		t.Errorf("%+v", es)
	}
}
