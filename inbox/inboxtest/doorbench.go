package inboxtest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// door has bounds that a test can reach.
var door = inbox.Door{
	Requests: 16, Bytes: 32 << 10, RequestBytes: 8 << 10, Life: 12 * time.Hour, Messages: 4, MessageBytes: 4 << 10,
}

const (
	stranger = "https://new.example/users/stranger"
	friend   = "https://old.example/users/friend"
)

// letter is a message of a kind in a group, with the n-th id of its actor.
func letter(o inbox.Owner, actor, kind, group string, n int) inbox.Message {
	m := Sample(o, n)
	m.Actor, m.Kind, m.Fate = actor, kind, inbox.Admit
	m.ActivityID = fmt.Sprintf("%s/%s/%d", actor, kind, n)
	m.Group = []byte(group)
	if kind == "welcome" {
		m.Group, m.Epoch, m.Fate = nil, 0, inbox.Await
	}
	return m
}

// sized is m with so many bytes.
func sized(m inbox.Message, bytes int64) inbox.Message {
	m.Activity = make([]byte, bytes)
	return m
}

// enter appends one message and gives what became of it.
func (b *bench) enter(t *testing.T, m inbox.Message) inbox.Result {
	t.Helper()
	return b.append(t, m)[0]
}

func (b *bench) delivered(t *testing.T, m inbox.Message) {
	t.Helper()
	if r := b.enter(t, m); r.Err != nil || !r.Delivered() || r.Waits {
		t.Fatalf("%s: %+v, want it delivered", m.ActivityID, r)
	}
}

func (b *bench) waits(t *testing.T, m inbox.Message) inbox.Result {
	t.Helper()
	r := b.enter(t, m)
	if r.Err != nil || r.Delivered() || !r.Waits {
		t.Fatalf("%s: %+v, want it to wait", m.ActivityID, r)
	}
	return r
}

// ids are the activities in o's mailbox, in order.
func (b *bench) ids(t *testing.T, o inbox.Owner) (out []string) {
	t.Helper()
	for _, e := range b.after(t, o, 0, 10_000) {
		out = append(out, e.ActivityID)
	}
	return out
}

func (b *bench) wantIDs(t *testing.T, o inbox.Owner, want ...inbox.Message) {
	t.Helper()
	var ids []string
	for _, m := range want {
		ids = append(ids, m.ActivityID)
	}
	if got := b.ids(t, o); !slices.Equal(got, ids) {
		t.Fatalf("the mailbox has\n%q, want\n%q", got, ids)
	}
}

func (b *bench) requests(t *testing.T, o inbox.Owner) []inbox.Waiting {
	t.Helper()
	all, err := b.Inbox.Requests(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (b *bench) accept(t *testing.T, o inbox.Owner, actor string) {
	t.Helper()
	if err := b.Inbox.AcceptRequest(t.Context(), o, inbox.RequestID(actor)); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) letGo(t *testing.T) time.Time {
	t.Helper()
	next, err := b.Inbox.LetGo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func (b *bench) learn(t *testing.T, l inbox.Lesson) {
	t.Helper()
	if err := b.teach(t.Context(), l); err != nil {
		t.Fatal(err)
	}
}

// teach has the store learn a lesson.
func (b *bench) teach(ctx context.Context, l inbox.Lesson) error {
	return b.Store.(inbox.Books).ChangeRows(ctx, func(ledger inbox.Ledger) error { return door.Learn(ledger, b.clock.Now(), l) })
}
