package intake_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay/intake"
	"github.com/sealgate/sealgate/storage"
)

// TestWhatPeopleHereSend meets the rules at send, once for each recipient elsewhere: refused, told to wait, allowed.
func TestWhatPeopleHereSend(t *testing.T) {
	clock := inboxtest.NewClock()
	p, err := rules.Parse(rules.Source{Name: "p", Now: clock.Now(), Text: []byte(`version: 1
limits: {two: {max: 2, every: 1d, per: [actor]}}
rules:
  - {name: no-spam,  at: send, when: 'rel == "blocked"', then: refuse}
  - {name: too-many, at: send, when: 'msg.kind == "welcome" && rel == "stranger"', limit: two, then: retry-later}
`)})
	if err != nil {
		t.Fatal(err)
	}
	gate := &ruled{p, rules.Stranger, clock.Now, map[rules.Action]int{}}
	door := intake.New(intake.Options{Gate: gate, Inbox: inbox.New(inbox.Options{Store: &inboxtest.Memory{}}), Clock: clock.Now})
	alice := intake.Sender{Actor: "https://social.example/users/alice", Account: "1", Activity: "a"}
	welcome := parse(t, invitation(alice.Actor, "1", make([]byte, 32)))
	send := func(n int) error {
		return door.MaySend(t.Context(), alice, welcome, []string{fmt.Sprintf("https://far.example/users/%d", n)})
	}
	if send(1) != nil || send(2) != nil {
		t.Error("within the limit")
	}
	ruledOut, ok := errors.AsType[*intake.RuledError](send(3))
	if !ok || !errors.Is(ruledOut, intake.ErrLater) || ruledOut.Decision.Rule != "too-many" || ruledOut.Decision.RetryAfter <= 0 {
		t.Errorf("the third stranger: %+v", ruledOut)
	}
	if err := door.MaySend(t.Context(), alice, welcome, nil); err != nil {
		t.Errorf("to people here: %v", err)
	}
	gate.rel = rules.Blocked
	if err := send(4); !errors.Is(err, intake.ErrRefused) {
		t.Errorf("to a blocked one: %v", err)
	}
	gate.rel = rules.Mutual
	if err := send(5); err != nil {
		t.Errorf("to a friend: %v", err)
	}
}

// TestPublicIsNobody: whom a message names counts, and on how many hosts; the Public collection is no person.
func TestPublicIsNobody(t *testing.T) {
	clock := inboxtest.NewClock()
	p, err := rules.Parse(rules.Source{Name: "p", Now: clock.Now(), Text: []byte(`version: 1
rules: [{name: one, at: send, when: 'msg.recipients == 2 && msg.hosts == 1', then: refuse}]
`)})
	if err != nil {
		t.Fatal(err)
	}
	gate := &ruled{p, rules.Stranger, clock.Now, map[rules.Action]int{}}
	door := intake.New(intake.Options{Gate: gate, Inbox: inbox.New(inbox.Options{Store: &inboxtest.Memory{}}), Clock: clock.Now})
	a := parse(t, create(ofGroup()))
	a.To = []string{"https://far.example/users/1", "https://far.example/users/2", "https://www.w3.org/ns/activitystreams#Public"}
	if err := door.MaySend(t.Context(), intake.Sender{Actor: member, Account: "1"}, a, a.To[:1]); !errors.Is(err, intake.ErrRefused) {
		t.Errorf("two people on one host, and everybody: %v", err)
	}
}

// TestGroupsOfWhatPeopleHereSend: each group is counted for itself at send, and who sends in one is in it.
func TestGroupsOfWhatPeopleHereSend(t *testing.T) {
	clock := inboxtest.NewClock()
	p, err := rules.Parse(rules.Source{Name: "p", Now: clock.Now(), Text: []byte(`version: 1
limits: {one: {max: 1, every: 1d, per: [actor, group]}}
rules: [{name: quiet, at: send, when: group.joined, limit: one, then: retry-later}]
`)})
	if err != nil {
		t.Fatal(err)
	}
	gate := &ruled{p, rules.Stranger, clock.Now, map[rules.Action]int{}}
	door := intake.New(intake.Options{Gate: gate, Inbox: inbox.New(inbox.Options{Store: &inboxtest.Memory{}}), Clock: clock.Now})
	f := func(group string, want error) {
		t.Helper()
		framed := inboxtest.Private(inboxtest.Application, group, 1, "c")
		if err := door.MaySend(t.Context(), intake.Sender{Actor: member, Account: "1"}, parse(t, create(framed)), []string{"https://far.example/users/1"}); !errors.Is(err, want) {
			t.Errorf("in group %q: %v, want %v", group, err, want)
		}
	}
	f("g", nil)
	f("h", nil)
	f("g", intake.ErrLater)
}

// TestALargeInvitationGoesThroughInTheEnd: whoever invites more strangers than the limit has left, and posts again when told to, under
// ever new ids, pays for each of them once.
func TestALargeInvitationGoesThroughInTheEnd(t *testing.T) {
	clock := inboxtest.NewClock()
	store, err := storage.Open(storage.Options{Path: t.TempDir(), Key: make([]byte, storage.KeySize), Retention: 30 * 24 * time.Hour, Quota: 1 << 20, Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	gate := realGate(t, []byte(`version: 1
limits: {two: {max: 2, every: 2h, per: [actor]}}
rules: [{name: many, at: send, limit: two, then: retry-later}]
`), store, clock.Now)
	door := intake.New(intake.Options{Gate: gate, Inbox: inbox.New(inbox.Options{Store: store}), Clock: clock.Now})
	to := make([]string, 5)
	for n := range to {
		to[n] = fmt.Sprintf("https://far.example/users/%d", n)
	}
	var ruled *intake.RuledError
	tries := 1
	for ; ; tries++ {
		id := fmt.Sprint("https://social.example/e2ee/activities/", tries)
		err := door.MaySend(t.Context(), intake.Sender{Actor: member, Account: "1", Activity: id}, parse(t, invitation(member, id, make([]byte, 32))), to)
		if err == nil {
			break
		}
		if !errors.As(err, &ruled) || tries > 10 {
			t.Fatalf("try %d: %v", tries, err)
		}
		clock.Advance(ruled.Decision.RetryAfter)
	}
	if tries != 4 { // two at once, then one an hour
		t.Errorf("it took %d tries", tries)
	}
}
