package storage_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/storage"
)

// commits submits a commit of one person's device to bob.
func commits(t *testing.T, s *storage.Store, account, device string, epoch uint64) outbox.Receipt {
	t.Helper()
	id := fmt.Sprint(account, device, epoch)
	m := inboxtest.Sample("bob", 1)
	m.ActivityID, m.Commit, m.Group, m.Epoch = id, true, []byte("g"), epoch
	receipt, err := s.Submit(t.Context(), outbox.Submission{
		Sent: outbox.Sent{Names: []string{id}}, Messages: []inbox.Message{m}, Activity: id,
		Turn: &outbox.Turn{
			Group: []byte("g"), Epoch: epoch, Commit: true, Account: account, Device: device, Against: []inbox.Owner{"alice", "bob"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// TestACommitHoldsItsEpoch: for ten minutes, for good for who has moved on, and after
// a restart.
func TestACommitHoldsItsEpoch(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock = clock.Now
	s := open(t, o)
	if r := commits(t, s, "alice", "laptop", 3); r.Lost != nil {
		t.Fatalf("the first lost: %+v", r.Lost)
	}
	closeStore(t, s)
	s = open(t, o)
	clock.Advance(outbox.HoldsFor - time.Second)
	if r := commits(t, s, "bob", "tablet", 3); r.Lost == nil || r.Lost.Epoch != 4 || r.Lost.Sent != "alicelaptop3" {
		t.Errorf("within its time: %+v", r)
	}
	clock.Advance(2 * time.Second)
	if r := commits(t, s, "bob", "tablet", 3); r.Lost != nil {
		t.Errorf("a commit that nobody could apply holds the group for ever: %+v", r.Lost)
	}
	if r := commits(t, s, "bob", "tablet", 4); r.Lost != nil {
		t.Errorf("the next epoch: %+v", r.Lost)
	}
	clock.Advance(time.Hour)
	if r := commits(t, s, "bob", "phone", 3); r.Lost == nil {
		t.Error("bob has sent in epoch 4 and his other device commits in 3")
	}
	if m, err := s.Joined(t.Context(), "bob", []byte("g")); err != nil || m.Epoch != 4 {
		t.Errorf("bob's membership is %+v, %v", m, err)
	}
	if _, err := s.Joined(t.Context(), "zoe", []byte("g")); !errors.Is(err, inbox.ErrNotFound) {
		t.Errorf("zoe's membership: %v", err)
	}
}

// TestACommitHoldsFromItsFirstTry: another of the same device does not prolong it, and one after its time holds anew.
func TestACommitHoldsFromItsFirstTry(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock = clock.Now
	s := open(t, o)
	wins := func(account, device string) {
		t.Helper()
		if r := commits(t, s, account, device, 3); r.Lost != nil {
			t.Errorf("%s's %s lost: %+v", account, device, r.Lost)
		}
	}
	wins("alice", "laptop")
	clock.Advance(outbox.HoldsFor - time.Second)
	wins("alice", "laptop")
	if r := commits(t, s, "alice", "phone", 3); r.Lost == nil {
		t.Error("alice's phone commits for the epoch of her laptop")
	}
	clock.Advance(2 * time.Second)
	wins("alice", "phone")
	clock.Advance(outbox.HoldsFor - time.Second)
	if r := commits(t, s, "alice", "laptop", 3); r.Lost == nil {
		t.Error("the commit of alice's phone does not hold")
	}
}

// TestMembersAreRemembered: in which epoch they sent last, and roughly when.
func TestMembersAreRemembered(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock = clock.Now
	s := open(t, o)
	sent := func(epoch, want uint64, at time.Time) {
		t.Helper()
		id := fmt.Sprint("m", s.Transactions())
		_, err := s.Submit(t.Context(), outbox.Submission{
			Sent: outbox.Sent{Names: []string{id}}, Activity: id, Turn: &outbox.Turn{Group: []byte("g"), Epoch: epoch, Account: "alice"},
		})
		m, joined := s.Joined(t.Context(), "alice", []byte("g"))
		if err = errors.Join(err, joined); err != nil || m.Epoch != want || !m.At.Equal(at) {
			t.Errorf("sent in epoch %d: %+v, %v, want %d and %v", epoch, m, err, want, at)
		}
	}
	first := clock.Now()
	sent(3, 3, first)
	clock.Advance(29 * 24 * time.Hour)
	sent(3, 3, first)
	sent(2, 3, first)
	clock.Advance(24 * time.Hour)
	sent(4, 4, clock.Now())
	clock.Advance(31 * 24 * time.Hour)
	sent(2, 4, clock.Now())
}

// slowly lets everybody else go first whenever it is asked.
type slowly struct{ context.Context } //nolint:containedctx // it is one

func (c slowly) Err() error {
	for range 100 {
		runtime.Gosched()
	}
	return c.Context.Err()
}

// TestMailboxesAgree: a message for more mailboxes than one transaction takes lies in
// the same order in all of them, though many enter at once.
func TestMailboxesAgree(t *testing.T) {
	const owners, senders = 3*256 + 1, 8
	s := open(t, options(t.TempDir()))
	var group sync.WaitGroup
	for n := range senders {
		ms := make([]inbox.Message, owners)
		for i := range ms {
			ms[i] = inboxtest.Sample(inbox.Owner(fmt.Sprint("owner", i)), n)
		}
		if n%2 == 0 {
			slices.Reverse(ms) // what enters first of one enters last of another
		}
		group.Go(func() {
			if _, err := s.Append(slowly{context.Background()}, ms); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	var first []string
	for _, i := range []int{0, owners - 1} {
		list, err := s.After(t.Context(), inbox.Owner(fmt.Sprint("owner", i)), 0, senders)
		if err != nil || len(list) != senders {
			t.Fatalf("owner %d has %d, %v", i, len(list), err)
		}
		for at, e := range list {
			if i == 0 {
				first = append(first, e.ActivityID)
			} else if e.ActivityID != first[at] {
				t.Fatalf("owner %d has %s as number %d, the first has %s", i, e.ActivityID, at, first[at])
			}
		}
	}
}

// TestAllOrNothing: a submission that needs several transactions is refused whole
// when the last mailbox is full.
func TestAllOrNothing(t *testing.T) {
	o := options(t.TempDir())
	o.Quota = 4 << 10
	s := open(t, o)
	ms := make([]inbox.Message, 400)
	for i := range ms {
		ms[i] = inboxtest.Sample(inbox.Owner(fmt.Sprint("owner", i)), 1)
	}
	ms[399].Activity = make([]byte, 5<<10)
	r, err := s.Submit(t.Context(), outbox.Submission{Sent: outbox.Sent{Names: []string{"1"}}, Messages: ms})
	if err != nil || !errors.Is(r.Results[399].Err, inbox.ErrFull) {
		t.Fatalf("%+v, %v", r.Results[399], err)
	}
	for i := range ms {
		if u, err := s.Usage(t.Context(), ms[i].Owner); err != nil || u.Total != 0 {
			t.Fatalf("%s has %d, %v", ms[i].Owner, u.Total, err)
		}
	}
	if _, err := s.Sent(t.Context(), "1"); !errors.Is(err, outbox.ErrNotSent) {
		t.Errorf("it is kept as sent: %v", err)
	}
}

// TestWhatWaitedGetsALine: a held message is in its conversation once it is released, not before.
func TestWhatWaitedGetsALine(t *testing.T) {
	s := open(t, options(t.TempDir()))
	m := inboxtest.Sample("bob", 1)
	m.Kind, m.Group, m.Fate, m.Conversation = "welcome", nil, inbox.Await, s.ThreadID([]byte("g"))
	if results, err := s.Append(t.Context(), []inbox.Message{m}); err != nil || !results[0].Waits {
		t.Fatal(results, err)
	}
	lines := func() []inbox.Line {
		t.Helper()
		got, err := s.Thread(t.Context(), m.Conversation, inbox.LocalReader("bob"), 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := lines(); len(got) != 0 {
		t.Errorf("while it waits bob sees %+v", got)
	}
	in := inbox.New(inbox.Options{Store: s})
	all, err := in.Requests(t.Context(), "bob")
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if err := in.AcceptRequest(t.Context(), "bob", all[0].ID); err != nil {
		t.Fatal(err)
	}
	if got := lines(); len(got) != 1 || got[0].ActivityID != m.ActivityID {
		t.Errorf("when it is released bob sees %+v", got)
	}
}
