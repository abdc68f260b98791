package outboxtest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/relay/outbox"
)

// quota of a mailbox in the suite, in bytes.
const quota = 4 << 10

// Run holds the stores that open makes, with mailboxes of so many bytes, to the
// contract of outbox.Store. open registers its own clean-up with t.
func Run(t *testing.T, open func(t *testing.T, quota int64) (outbox.Store, inbox.Store)) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, outbox.Store, inbox.Store){
		"Whole": testWhole, "Full": testFull, "HeldIsFull": testHeldIsFull, "Order": testOrder, "Settle": testSettle, "Names": testNames, "Owned": testOwned,
		"Lesson": testLesson, "Turn": testTurn, "Thread": testThread,
	} {
		t.Run(name, func(t *testing.T) {
			store, mail := open(t, quota)
			test(t, store, mail)
		})
	}
}

func lane(n byte) outbox.Lane { return outbox.Lane{n} }

func delivery(l outbox.Lane, activity string) outbox.Delivery {
	return outbox.Delivery{
		Place: outbox.Place{Lane: l}, Sent: activity, Activity: "https://social.example/e2ee/activities/" + activity,
		Sender: outbox.Sender{Account: "1", Name: "alice", Actor: "https://social.example/users/alice"}, Host: "far.example",
		Group: "group 67", Ways: []string{"last 1"}, Inbox: "https://far.example/inbox",
		Recipients: []string{"https://far.example/users/zoe"}, Accepted: time.Unix(1_800_000_000, 0).UTC(),
	}
}

func submission(name string, owner inbox.Owner, size int, ds ...outbox.Delivery) outbox.Submission {
	m := inboxtest.Sample(owner, 1)
	m.ActivityID, m.Activity = "https://social.example/e2ee/activities/"+name, make([]byte, size)
	return outbox.Submission{
		Sent:     outbox.Sent{Names: []string{name, "alias of " + name}, Actor: m.Actor, Owners: []inbox.Owner{owner}, Body: []byte("body of " + name)},
		Messages: []inbox.Message{m}, Deliveries: ds,
	}
}

func submit(t *testing.T, s outbox.Store, sub outbox.Submission) outbox.Receipt {
	t.Helper()
	receipt, err := s.Submit(t.Context(), sub)
	if err != nil {
		t.Fatalf("submit: %v", err)
	}
	return receipt
}

func pending(t *testing.T, s outbox.Store) []outbox.Delivery {
	t.Helper()
	ds, err := s.Pending(t.Context(), outbox.Place{}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return ds
}

// testWhole: the copy, what was sent, and what is queued are there together.
func testWhole(t *testing.T, s outbox.Store, mail inbox.Store) {
	want := delivery(lane(1), "a")
	receipt := submit(t, s, submission("a", "bob", 10, want))
	if len(receipt.Results) != 1 || receipt.Results[0].Err != nil || receipt.Results[0].Position != 1 {
		t.Errorf("results %+v", receipt.Results)
	}
	if kept, err := mail.After(t.Context(), "bob", 0, 10); err != nil || len(kept) != 1 {
		t.Errorf("bob has %d messages, %v", len(kept), err)
	}
	got := pending(t, s)
	want.Seq = receipt.First
	if len(got) != 1 || fmt.Sprint(got[0]) != fmt.Sprint(want) {
		t.Errorf("queued %+v\nwant   %+v", got, want)
	}
}

// testFull: when one mailbox is full nothing at all is kept.
func testFull(t *testing.T, s outbox.Store, mail inbox.Store) {
	sub := submission("a", "bob", quota+1, delivery(lane(1), "a"))
	sub.Messages = append(submission("a", "carol", 10).Messages, sub.Messages...)
	receipt := submit(t, s, sub)
	if len(receipt.Results) != 2 || !errors.Is(receipt.Results[1].Err, inbox.ErrFull) {
		t.Errorf("results %+v", receipt.Results)
	}
	if kept, err := mail.After(t.Context(), "carol", 0, 10); err != nil || len(kept) != 0 {
		t.Errorf("carol has %d messages, %v", len(kept), err)
	}
	if ds := pending(t, s); len(ds) != 0 {
		t.Errorf("queued all the same: %+v", ds)
	}
	if _, err := s.Sent(t.Context(), "a"); !errors.Is(err, outbox.ErrNotSent) {
		t.Errorf("sent all the same: %v", err)
	}
}

// testHeldIsFull: what waits for one recipient's answer and has no more room keeps nothing from the others.
func testHeldIsFull(t *testing.T, s outbox.Store, mail inbox.Store) {
	held := func(name, kind string, fate inbox.Fate) outbox.Submission {
		sub := submission(name, "bob", 600<<10, delivery(lane(1), name))
		m := &sub.Messages[0]
		m.Kind, m.Fate, m.Firm, m.Group = kind, fate, true, nil
		sub.Messages = append(sub.Messages, submission(name, "carol", 10).Messages...)
		return sub
	}
	for n, sub := range []outbox.Submission{held("a", "welcome", inbox.Await), held("b", "", inbox.Admit), held("c", "", inbox.Admit)} {
		for _, r := range submit(t, s, sub).Results {
			if r.Err != nil || (r.Overflown > 0) != (n == 1 && !r.Delivered()) {
				t.Errorf("number %d: %+v", n, r)
			}
		}
	}
	if kept, err := mail.After(t.Context(), "carol", 0, 10); err != nil || len(kept) != 3 || len(pending(t, s)) != 3 {
		t.Errorf("carol has %d messages, %d are queued, %v", len(kept), len(pending(t, s)), err)
	}
	if kept, err := mail.After(t.Context(), "bob", 0, 10); err != nil || len(kept) != 0 {
		t.Errorf("bob has %d messages, %v", len(kept), err)
	}
	// A group that waits to be let go has no more room than the mailbox: then nobody gets anything, and it comes again.
	slowed := func(name string, size int) outbox.Submission {
		sub := submission(name, "dave", size, delivery(lane(1), name))
		sub.Messages[0].Fate, sub.Messages[0].Until, sub.Messages[0].Firm, sub.Messages[0].Group = inbox.Slow, time.Now().Add(time.Hour), true, []byte("g")
		sub.Messages = append(sub.Messages, submission(name, "carol", 10).Messages...)
		return sub
	}
	join := inbox.Lesson{Owner: "dave", Group: []byte("g"), Members: []string{submission("d", "dave", 1).Messages[0].Actor}}
	submit(t, s, outbox.Submission{Sent: outbox.Sent{Names: []string{"join"}}, Lesson: join})
	submit(t, s, slowed("d", quota-10))
	if r := submit(t, s, slowed("e", 11)); len(r.Results) != 2 || !errors.Is(r.Results[0].Err, inbox.ErrFull) {
		t.Errorf("over what is slowed: %+v", r.Results)
	}
	if kept, err := mail.After(t.Context(), "carol", 0, 10); err != nil || len(kept) != 4 {
		t.Errorf("carol has %d messages, %v", len(kept), err)
	}
}

// testLesson: what sending lets go comes before the sender's own copy, and the lesson holds also when nothing is sent.
func testLesson(t *testing.T, s outbox.Store, mail inbox.Store) {
	in := inbox.New(inbox.Options{Store: mail})
	post := func(name, kind string, fate inbox.Fate, size int, group string) outbox.Submission {
		sub := submission(name, "bob", size)
		m := &sub.Messages[0]
		m.Kind, m.Fate, m.Group = kind, fate, []byte(group)
		if kind == "welcome" {
			m.Group = nil
		}
		return sub
	}
	for n, sub := range []outbox.Submission{
		post("a", "welcome", inbox.Await, 10, ""), post("b", "commit", inbox.Admit, 10, "g"), post("c", "commit", inbox.Admit, 10, "h"),
	} {
		if r := submit(t, s, sub); !r.Results[0].Waits {
			t.Fatalf("number %d: %+v", n, r)
		}
	}
	write := func(name, group string, size int) outbox.Receipt {
		sub := post(name, "application", inbox.Kept, size, group)
		sub.Messages[0].Actor = "https://social.example/users/bob"
		sub.Lesson = inbox.Lesson{Owner: "bob", Group: []byte(group), Members: []string{"https://peer.example/users/alice"}}
		return submit(t, s, sub)
	}
	if r := write("own", "g", 10).Results; len(r) != 1 || r[0].Err != nil || !r[0].Waits {
		t.Errorf("the own copy: %+v", r)
	}
	if r := write("too big", "h", quota+1).Results; len(r) != 1 || !errors.Is(r[0].Err, inbox.ErrFull) {
		t.Errorf("over the quota: %+v", r)
	}
	if _, err := in.LetGo(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept, err := mail.After(t.Context(), "bob", 0, 10)
	at := map[string]int{}
	for i, e := range kept {
		at[strings.TrimPrefix(e.ActivityID, "https://social.example/e2ee/activities/")] = i + 1
	}
	if err != nil || len(kept) != 3 || at["b"] == 0 || at["c"] == 0 || at["own"] < at["b"] {
		t.Errorf("bob has %v, %v", at, err)
	}
}

// testOrder: Seq grows within a lane, in the order of submissions and within one,
// Pending pages through lanes, and Next stays in one.
func testOrder(t *testing.T, s outbox.Store, _ inbox.Store) {
	for _, name := range []string{"a", "b", "c"} {
		submit(t, s, submission(name, "bob", 1, delivery(lane(2), name+"1"), delivery(lane(1), name), delivery(lane(2), name+"2")))
	}
	var got []string
	behind := outbox.Place{}
	for {
		page, err := s.Pending(t.Context(), behind, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			got, behind = append(got, d.Sent), d.Place
		}
		if len(page) < 2 {
			break
		}
	}
	if want := "[a b c a1 a2 b1 b2 c1 c2]"; fmt.Sprint(got) != want {
		t.Errorf("order %v, want %v", got, want)
	}
	for _, c := range []struct {
		lane  outbox.Lane
		limit int
		want  string
	}{{lane(1), 9, "[a b c]"}, {lane(2), 3, "[a1 a2 b1]"}, {lane(3), 9, "[]"}} {
		got = []string{}
		next, err := s.Next(t.Context(), outbox.Place{Lane: c.lane}, c.limit)
		for _, d := range next {
			got = append(got, d.Sent)
		}
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("next %v, %v, want %v", got, err, c.want)
		}
	}
}

// testSettle: what is done is gone, what changed is changed, and no Seq comes again.
func testSettle(t *testing.T, s outbox.Store, _ inbox.Store) {
	submit(t, s, submission("a", "bob", 1, delivery(lane(1), "a"), delivery(lane(1), "b")))
	ds := pending(t, s)
	ds[1].Warned = true
	if err := s.Settle(t.Context(), []outbox.Place{ds[0].Place}, ds[1:]); err != nil {
		t.Fatal(err)
	}
	left := pending(t, s)
	if len(left) != 1 || left[0].Sent != "b" || !left[0].Warned {
		t.Fatalf("left %+v", left)
	}
	if err := s.Settle(t.Context(), []outbox.Place{left[0].Place}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(t.Context(), nil, left); err != nil { // it was being tried
		t.Fatal(err)
	}
	if again := pending(t, s); len(again) != 0 {
		t.Errorf("it came back: %+v", again)
	}
	submit(t, s, submission("c", "bob", 1, delivery(lane(1), "c")))
	if again := pending(t, s); len(again) != 1 || again[0].Seq <= left[0].Seq {
		t.Errorf("%+v after Seq %d", again, left[0].Seq)
	}
}

func testNames(t *testing.T, s outbox.Store, _ inbox.Store) {
	submit(t, s, submission("a", "bob", 1))
	for _, name := range []string{"a", "alias of a"} {
		if sent, err := s.Sent(t.Context(), name); err != nil || string(sent.Body) != "body of a" || sent.Names[0] != "a" {
			t.Errorf("%s: %+v, %v", name, sent, err)
		}
	}
	if _, err := s.Sent(t.Context(), "b"); !errors.Is(err, outbox.ErrNotSent) {
		t.Errorf("never sent: %v", err)
	}
}

// testOwned: neither side's bytes are the other's.
func testOwned(t *testing.T, s outbox.Store, _ inbox.Store) {
	sub := submission("a", "bob", 1, delivery(lane(1), "a"))
	submit(t, s, sub)
	sub.Sent.Body[0], sub.Deliveries[0].Recipients[0] = 'X', "X"
	got, err := s.Sent(t.Context(), "a")
	if err != nil || string(got.Body) != "body of a" {
		t.Fatalf("%q, %v", got.Body, err)
	}
	got.Body[0] = 'X'
	if again, _ := s.Sent(t.Context(), "a"); string(again.Body) != "body of a" {
		t.Errorf("what was returned is still the store's: %q", again.Body)
	}
	if d := pending(t, s)[0]; d.Recipients[0] == "X" {
		t.Errorf("the queue keeps what it was given: %q", d.Recipients)
	}
}

// commit is a submission of one of a person's devices that ends an epoch, to bob.
func commit(name, account, device string, epoch uint64) outbox.Submission {
	s := submission(name, "bob", 10)
	s.Turn = &outbox.Turn{
		Group: []byte("g"), Epoch: epoch, Commit: true, Account: account, Device: device, Against: []inbox.Owner{"bob", "alice"},
	}
	return s
}

// testTurn: one commit for an epoch; what comes late is not kept at all.
func testTurn(t *testing.T, s outbox.Store, mail inbox.Store) {
	submit(t, s, commit("a", "alice", "laptop", 3))
	for _, late := range []outbox.Submission{commit("b", "bob", "tablet", 3), commit("c", "alice", "phone", 3)} {
		if got := submit(t, s, late); got.Lost == nil || *got.Lost != (outbox.Lost{Sent: "a", Epoch: 4}) {
			t.Errorf("%s: %+v", late.Sent.Names[0], got.Lost)
		}
		if _, err := s.Sent(t.Context(), late.Sent.Names[0]); !errors.Is(err, outbox.ErrNotSent) {
			t.Errorf("a late commit is kept: %v", err)
		}
	}
	for _, open := range []outbox.Submission{commit("d", "alice", "laptop", 3), commit("e", "zoe", "x", 9), commit("f", "bob", "tablet", 4)} {
		if got := submit(t, s, open); got.Lost != nil {
			t.Errorf("%s: %+v", open.Sent.Names[0], got.Lost)
		}
	}
	if u, err := mail.Usage(t.Context(), "bob"); err != nil || u.Total != 4 {
		t.Errorf("bob has %d, %v", u.Total, err)
	}
	if m, err := s.Joined(t.Context(), "bob", []byte("g")); err != nil || m.Epoch != 4 {
		t.Errorf("bob's membership is %+v, %v", m, err)
	}
	if _, err := s.Joined(t.Context(), "bob", []byte("other")); !errors.Is(err, inbox.ErrNotFound) {
		t.Errorf("a group bob never sent in: %v", err)
	}
	message := commit("m", "alice", "laptop", 20)
	message.Turn.Commit = false
	for _, open := range []outbox.Submission{message, commit("n", "bob", "tablet", 20)} {
		if got := submit(t, s, open); got.Lost != nil {
			t.Errorf("%s lost against what is no commit: %+v", open.Sent.Names[0], got.Lost)
		}
	}
	if got := submit(t, s, commit("o", "alice", "phone", 20)); got.Lost == nil || got.Lost.Sent != "n" {
		t.Errorf("behind a message and a commit: %+v", got.Lost)
	}
}

// testThread: whoever sent or got an activity of a conversation reads it, in order.
func testThread(t *testing.T, s outbox.Store, _ inbox.Store) {
	id := s.ThreadID([]byte("g"))
	if id == s.ThreadID([]byte("h")) || id != s.ThreadID([]byte("g")) {
		t.Errorf("the id of a conversation is %q", id)
	}
	for _, name := range []string{"a", "b", "c"} {
		one := submission(name, "bob", 10)
		one.Messages[0].Conversation, one.Activity = id, one.Messages[0].ActivityID
		one.Thread = outbox.Thread{ID: id, Readers: []string{inbox.LocalReader("alice")}}
		submit(t, s, one)
	}
	for _, reader := range []string{inbox.LocalReader("alice"), inbox.LocalReader("bob")} {
		lines, err := s.Thread(t.Context(), id, reader, 0, 2)
		if err != nil || len(lines) != 2 || lines[0].ActivityID != "https://social.example/e2ee/activities/a" {
			t.Fatalf("%s reads %+v, %v", reader, lines, err)
		}
		rest, err := s.Thread(t.Context(), id, reader, lines[1].Seq, 10)
		if n, _ := s.ThreadSize(t.Context(), id, reader); err != nil || len(rest) != 1 || n != 3 {
			t.Errorf("%s reads on %+v of %d, %v", reader, rest, n, err)
		}
	}
	if n, err := s.ThreadSize(t.Context(), id, inbox.LocalReader("zoe")); n != 0 || err != nil {
		t.Errorf("zoe reads %d, %v", n, err)
	}
}
