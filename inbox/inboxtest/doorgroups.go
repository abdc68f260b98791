package inboxtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

const third = "https://third.example/users/member"

// testGroupStaysBound: a group is bound to the request that held something of it first. A lesson lets go of that
// whoever is in it, and of what those wrote whom it names, though they were met before.
func testGroupStaysBound(t *testing.T, b *bench) {
	for o, members := range map[inbox.Owner][]string{"bob": nil, "carol": {third}} {
		met := letter(o, third, "application", "g", 1)
		b.delivered(t, met)
		b.waits(t, letter(o, stranger, "welcome", "", 1))
		first, own := letter(o, stranger, "commit", "g", 1), letter(o, third, "commit", "g", 1)
		b.waits(t, first)
		b.delivered(t, letter(o, third, "application", "g", 2)) // they were met, and another's request is not theirs
		b.clock.Advance(time.Second)
		b.waits(t, letter(o, third, "welcome", "", 1))
		b.waits(t, own) // behind their own
		b.learn(t, inbox.Lesson{Owner: o, Group: []byte("g"), Members: members})
		b.letGo(t)
		want := []inbox.Message{met, letter(o, third, "application", "g", 2), first}
		if members != nil {
			want = append(want, own)
		}
		b.wantIDs(t, o, want...)
		if all := b.requests(t, o); len(all) != 2 || all[1].Messages != len(all)-len(members) {
			t.Errorf("%s: %+v", o, all)
		}
	}
}

// testLessonOfTheMet: what waits of a group from somebody who was met in it before goes too.
func testLessonOfTheMet(t *testing.T, b *bench) {
	var all []inbox.Message
	for n := range door.Messages {
		all = append(all, letter("bob", stranger, "application", "g", n))
		b.delivered(t, all[n])
	}
	all = append(all, letter("bob", stranger, "application", "g", 99), letter("bob", stranger, "commit", "other", 1))
	b.waits(t, all[door.Messages])
	b.waits(t, all[door.Messages+1])
	b.learn(t, inbox.Lesson{Owner: "bob", Group: []byte("g"), Members: []string{stranger}})
	b.letGo(t)
	b.wantIDs(t, "bob", all[:door.Messages+1]...)
	b.learn(t, inbox.Lesson{Owner: "bob", Group: []byte("third"), Members: []string{stranger}}) // nothing of it waits
	own := letter("bob", "https://here.example/users/bob", "application", "third", 1)
	own.Fate = inbox.Kept
	b.delivered(t, own)
	b.accept(t, "bob", stranger) // the first of it was taken out
	b.wantIDs(t, "bob", append(all[:door.Messages+1:door.Messages+1], own, all[door.Messages+1])...)
}

// testAcceptedBeforeLetGo: of a request that is accepted in the meantime a queue takes nothing out.
func testAcceptedBeforeLetGo(t *testing.T, b *bench) {
	all := []inbox.Message{letter("bob", stranger, "welcome", "", 1), letter("bob", stranger, "commit", "g", 1)}
	for _, m := range all {
		b.waits(t, m)
	}
	b.learn(t, inbox.Lesson{Owner: "bob", Group: []byte("g"), Members: []string{stranger}})
	b.accept(t, "bob", stranger)
	if next := b.letGo(t); !next.After(b.clock.Now()) {
		t.Errorf("next at %v, and nothing is left", next)
	}
	b.wantIDs(t, "bob", all...)
}

// testGoneBeforeLetGo: what a lesson lets go out of a request arrives before what came after it, however the request
// goes in the meantime.
func testGoneBeforeLetGo(t *testing.T, b *bench) {
	for o, goes := range map[inbox.Owner]func(o inbox.Owner){
		"dropped": func(o inbox.Owner) {
			if err := b.Inbox.DropRequest(t.Context(), o, inbox.RequestID(stranger)); err != nil {
				t.Fatal(err)
			}
		},
		"overflown": func(o inbox.Owner) {
			m := sized(letter(o, stranger, "commit", "other", 3), door.RequestBytes)
			m.Firm = true
			if r := b.enter(t, m); r.Overflown != 1 {
				t.Errorf("%+v", r)
			}
		},
		"driven out": func(o inbox.Owner) {
			for n := range door.Requests {
				b.waits(t, letter(o, fmt.Sprintf("https://h%d.example/users/x", n), "welcome", "", 1))
			}
		},
	} {
		b.waits(t, letter(o, stranger, "welcome", "", 1))
		all := []inbox.Message{letter(o, stranger, "commit", "g", 1), letter(o, friend, "commit", "g", 1)}
		for _, m := range all {
			b.waits(t, m)
		}
		b.waits(t, letter(o, stranger, "commit", "h", 2))
		b.learn(t, inbox.Lesson{Owner: o, Group: []byte("g"), Members: []string{stranger}})
		own := letter(o, "https://here.example/users/owner", "application", "g", 1)
		own.Fate = inbox.Kept
		b.waits(t, own)
		goes(o)
		b.letGo(t)
		b.wantIDs(t, o, append(all, own)...)
		if err := b.addsUp(t.Context(), o, stranger, friend); err != nil {
			t.Error(err)
		}
	}
}

// testKnownPasses: who was let in does not wait behind a stranger who wrote in the same group.
func testKnownPasses(t *testing.T, b *bench) {
	invited := letter("bob", friend, "welcome", "", 1)
	invited.Fate = inbox.Admit
	b.delivered(t, invited)
	b.waits(t, letter("bob", stranger, "welcome", "", 1))
	b.waits(t, letter("bob", stranger, "commit", "g", 1))
	b.delivered(t, letter("bob", friend, "commit", "g", 1))
	b.waits(t, letter("bob", third, "commit", "g", 1))
}

// testTagLetsGo: a message that names the conversation of a delivered Welcome shows that its group is joined, and goes
// behind what waits of it.
func testTagLetsGo(t *testing.T, b *bench) {
	first := letter("bob", friend, "application", "g", 1) // they were met before they invited
	b.delivered(t, first)
	b.waits(t, letter("bob", stranger, "welcome", "", 1))
	waiting := letter("bob", stranger, "commit", "g", 1)
	b.waits(t, waiting)
	welcome := letter("bob", friend, "welcome", "", 1)
	welcome.Fate, welcome.Context = inbox.Admit, "uri:uuid:1"
	b.delivered(t, welcome)
	tagged := letter("bob", friend, "commit", "g", 2)
	tagged.Context = welcome.Context
	b.waits(t, tagged)
	b.letGo(t)
	b.wantIDs(t, "bob", first, welcome, waiting, tagged)
	if s, err := b.Inbox.Standing(t.Context(), "bob", []byte("g"), friend); err != nil || !s.Joined {
		t.Errorf("%+v, %v", s, err)
	}
}

// testContextOfAnother: an invitation that names the conversation of another's is a request of its own; a person's own
// device that names it joins it.
func testContextOfAnother(t *testing.T, b *bench) {
	tagged := func(m inbox.Message) inbox.Message { m.Context = "uri:uuid:1"; return m }
	b.waits(t, tagged(letter("bob", stranger, "welcome", "", 1)))
	b.waits(t, tagged(letter("bob", third, "welcome", "", 1)))
	if all := b.requests(t, "bob"); len(all) != 2 {
		t.Errorf("%+v", all)
	}
	b.learn(t, inbox.Lesson{Owner: "bob", Group: []byte("g"), Context: "uri:uuid:1"})
	b.delivered(t, tagged(letter("bob", friend, "commit", "g after a fork", 1)))
}

// testForgottenRequestHoldsNothing: a group bound to a request that has expired is bound to nothing, whatever its actor
// asks afterwards.
func testForgottenRequestHoldsNothing(t *testing.T, b *bench) {
	b.waits(t, letter("bob", stranger, "welcome", "", 1))
	b.waits(t, letter("bob", stranger, "commit", "g", 1))
	b.clock.Advance(door.Life)
	b.delivered(t, letter("bob", friend, "application", "g", 1))
	b.waits(t, letter("bob", stranger, "welcome", "", 2))
	b.delivered(t, letter("bob", third, "application", "g", 1))
}

// testUsedContextStays: a conversation is forgotten after two months without use, and writing in it is use.
func testUsedContextStays(t *testing.T, b *bench) {
	for n := range 3 {
		b.learn(t, inbox.Lesson{Owner: "bob", Group: []byte("g"), Context: "uri:uuid:1"})
		b.clock.Advance(50 * 24 * time.Hour)
		m := letter("bob", stranger, "commit", fmt.Sprint("fork ", n), n)
		m.Context = "uri:uuid:1"
		b.delivered(t, m)
		if s, err := b.Inbox.Standing(t.Context(), "bob", m.Group, stranger); err != nil || !s.Joined {
			t.Fatalf("after %d days: %+v, %v", 50*(n+1), s, err)
		}
	}
}
