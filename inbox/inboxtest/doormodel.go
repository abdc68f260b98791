package inboxtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sealgate/sealgate/inbox"
)

// testDoorModel lets members and strangers send anything with any fate, while the
// owner writes, accepts and drops. Whatever happens: nothing is kept twice; what one
// actor sent in one group is never overtaken by their own later messages; and what a
// member sent after they were known as one arrives, once all that waits is let go.
func testDoorModel(t *testing.T, b *bench) {
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		w := &doorModel{bench: b, owner: inbox.Owner(fmt.Sprintf("owner %d", run)), members: map[[2]string]bool{}}
		rt.Repeat(map[string]func(*rapid.T){
			"send":   w.send,
			"write":  w.write,
			"accept": func(rt *rapid.T) { w.decide(rt, b.Inbox.AcceptRequest) },
			"drop":   func(rt *rapid.T) { w.decide(rt, b.Inbox.DropRequest) },
			"wait":   w.wait,
		})
		w.settle(rt)
	})
}

type doorModel struct {
	*bench
	owner   inbox.Owner
	sent    []inbox.Message    // that were taken
	must    []string           // ids that must arrive
	members map[[2]string]bool // (group, actor) that the owner's device has named
	lessons []ownCopy
	n       int
}

// ownCopy is what the owner wrote to members, behind so much that was sent.
type ownCopy struct {
	inbox.Message
	behind  int
	members []string
}

var (
	doorActors = []string{friend, stranger, "https://third.example/users/t"}
	doorGroups = []string{"g", "h"}
)

// anyLetter is the nth to an owner, from and about anybody.
func (b *bench) anyLetter(rt *rapid.T, o inbox.Owner, n int) inbox.Message {
	actor := rapid.SampledFrom(doorActors).Draw(rt, "actor")
	kind := rapid.SampledFrom([]string{"welcome", "commit", "application"}).Draw(rt, "kind")
	group := rapid.SampledFrom(doorGroups).Draw(rt, "group")
	m := letter(o, actor, kind, group, n)
	m.Fate = rapid.SampledFrom([]inbox.Fate{inbox.Admit, inbox.Await, inbox.Slow}).Draw(rt, "fate")
	m.Until = b.clock.Now().Add(time.Minute)
	m.Context = rapid.SampledFrom([]string{"", "context " + group}).Draw(rt, "context")
	return m
}

// anyLesson has the store learn that an owner's device writes to anybody in any group.
func (b *bench) anyLesson(rt *rapid.T, o inbox.Owner) inbox.Lesson {
	l := inbox.Lesson{Owner: o, Group: []byte(rapid.SampledFrom(doorGroups).Draw(rt, "in"))}
	l.Members = rapid.SliceOfDistinct(rapid.SampledFrom(doorActors), rapid.ID[string]).Draw(rt, "members")
	if err := b.teach(rt.Context(), l); err != nil {
		rt.Fatal(err)
	}
	return l
}

// takes tells whether m was taken, which may be too much.
func (b *bench) takes(rt *rapid.T, m inbox.Message) bool {
	rs, err := b.Append(rt.Context(), []inbox.Message{m})
	if err != nil || rs[0].Err != nil && !errors.Is(rs[0].Err, inbox.ErrFull) {
		rt.Fatalf("%+v, %v", rs, err)
	}
	return rs[0].Err == nil
}

func (w *doorModel) send(rt *rapid.T) {
	w.n++
	m := w.anyLetter(rt, w.owner, w.n)
	m.Activity = make([]byte, 16)
	taken := w.takes(rt, m)
	isMember := m.Kind != "welcome" && w.members[[2]string{string(m.Group), m.Actor}]
	switch {
	case !taken && isMember:
		rt.Fatal("a member's message was not taken")
	case !taken:
		return
	case isMember:
		w.must = append(w.must, m.ActivityID)
	}
	w.sent = append(w.sent, m)
}

func (w *doorModel) write(rt *rapid.T) {
	l := w.anyLesson(rt, w.owner)
	for _, actor := range l.Members {
		w.members[[2]string{string(l.Group), actor}] = true
	}
	w.n++
	own := letter(w.owner, "https://here.example/users/owner", "application", string(l.Group), w.n)
	own.Fate, own.Activity = inbox.Kept, make([]byte, 16)
	rs, err := w.Append(rt.Context(), []inbox.Message{own})
	if err != nil || rs[0].Err != nil {
		rt.Fatalf("%+v, %v", rs, err)
	}
	w.lessons = append(w.lessons, ownCopy{own, len(w.sent), l.Members})
	w.sent, w.must = append(w.sent, own), append(w.must, own.ActivityID)
}

func (w *doorModel) decide(rt *rapid.T, f func(ctx context.Context, o inbox.Owner, id string) error) {
	err := f(rt.Context(), w.owner, inbox.RequestID(rapid.SampledFrom(doorActors).Draw(rt, "actor")))
	if err != nil && !errors.Is(err, inbox.ErrNoRequest) {
		rt.Fatal(err)
	}
}

func (w *doorModel) wait(rt *rapid.T) {
	w.clock.Advance(time.Minute)
	if _, err := w.Inbox.LetGo(rt.Context()); err != nil {
		rt.Fatal(err)
	}
}

// settle lets go what is due, accepts what is still open in any order, and looks at what has arrived.
func (w *doorModel) settle(rt *rapid.T) {
	w.wait(rt)
	for _, actor := range rapid.Permutation(doorActors).Draw(rt, "accepted last") {
		if err := w.Inbox.AcceptRequest(rt.Context(), w.owner, inbox.RequestID(actor)); err != nil && !errors.Is(err, inbox.ErrNoRequest) {
			rt.Fatal(err)
		}
	}
	es, err := w.After(rt.Context(), w.owner, 0, 10_000)
	if err != nil {
		rt.Fatal(err)
	}
	at := map[string]int{}
	for i, e := range es {
		if _, twice := at[e.ActivityID]; twice {
			rt.Fatalf("%s arrived twice", e.ActivityID)
		}
		at[e.ActivityID] = i
	}
	for _, id := range w.must {
		if _, ok := at[id]; !ok {
			rt.Fatalf("a member's message %s did not arrive", id)
		}
	}
	w.checkOrder(rt, at)
}

// checkOrder: what arrived of an actor's in a group arrived in the order in which it was taken.
func (w *doorModel) checkOrder(rt *rapid.T, at map[string]int) {
	last := map[string]inbox.Message{}
	for _, m := range w.sent {
		i, ok := at[m.ActivityID]
		if !ok || m.Kind == "welcome" {
			continue
		}
		from := m.Actor + " " + string(m.Group)
		if before, ok := last[from]; ok && i < at[before.ActivityID] {
			rt.Fatalf("%s was overtaken by a later one", before.ActivityID)
		}
		last[from] = m
	}
	for _, own := range w.lessons {
		for _, m := range w.sent[:own.behind] {
			i, ok := at[m.ActivityID]
			if ok && i > at[own.ActivityID] && m.Kind != "welcome" && string(m.Group) == string(own.Group) && slices.Contains(own.members, m.Actor) {
				rt.Fatalf("%s was overtaken by the owner's copy %s", m.ActivityID, own.ActivityID)
			}
		}
	}
}
