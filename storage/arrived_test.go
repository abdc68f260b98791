package storage_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/relay/outbox"
)

// TestConflictsAreCounted: once for each commit for an epoch that somebody here, or there, had committed before.
func TestConflictsAreCounted(t *testing.T) {
	r := prometheus.NewRegistry()
	o := options(t.TempDir())
	o.Metrics = r
	s := open(t, o)
	counted := func(want float64, why string) {
		t.Helper()
		if n := gather(t, r)["sealgate_epoch_conflicts_total"]; n != want {
			t.Errorf("%s: %v conflicts, want %v", why, n, want)
		}
	}
	arrives := func(id string, epoch uint64, owners ...inbox.Owner) {
		t.Helper()
		var ms []inbox.Message
		for _, owner := range owners {
			m := inboxtest.Sample(owner, 1)
			m.ActivityID, m.Commit, m.Group, m.Epoch = id, true, []byte("g"), epoch
			ms = append(ms, m)
		}
		if _, err := s.Append(t.Context(), ms); err != nil {
			t.Fatal(err)
		}
	}
	commits(t, s, "alice", "laptop", 3)
	counted(0, "the first")
	arrives("x", 3, "bob")
	counted(0, "for who has committed nothing")
	arrives("y", 3, "alice", "bob")
	counted(1, "for alice, who has")
	arrives("y", 3, "alice", "bob")
	counted(1, "again")
	arrives("z", 4, "alice", "bob")
	counted(1, "for the next epoch")
	commits(t, s, "bob", "phone", 3)
	counted(2, "bob's, which lost")
	elsewhere := func(id string, members ...string) {
		t.Helper()
		_, err := s.Submit(t.Context(), outbox.Submission{
			Sent: outbox.Sent{Names: []string{id}}, Activity: id,
			Turn: &outbox.Turn{Group: []byte("g"), Epoch: 4, Commit: true, Account: id, Elsewhere: members},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	elsewhere("zoe", "https://peer.example/users/nobody")
	counted(2, "members elsewhere have committed nothing")
	elsewhere("eve", "https://peer.example/users/nobody", inboxtest.Sample("", 1).Actor)
	counted(3, "one has, for epoch 4")
}

// TestALineForTheSender: who sends from elsewhere sees their message once in the conversation, however many get it and however
// often it is tried.
func TestALineForTheSender(t *testing.T) {
	s := open(t, options(t.TempDir()))
	conversation := s.ThreadID([]byte("g"))
	var ms []inbox.Message
	for _, owner := range []inbox.Owner{"bob", "carol", "dave"} {
		m := inboxtest.Sample(owner, 1)
		m.Conversation = conversation
		ms = append(ms, m)
	}
	for _, try := range [][]inbox.Message{ms[:2], ms, ms} {
		if _, err := s.Append(t.Context(), try); err != nil {
			t.Fatal(err)
		}
		for _, reader := range []string{ms[0].Actor, inbox.LocalReader(try[len(try)-1].Owner)} {
			if n, err := s.ThreadSize(t.Context(), conversation, reader); err != nil || n != 1 {
				t.Errorf("%s sees %d lines, %v", reader, n, err)
			}
		}
	}
}

// TestALineForTheSenderOfMany: also where one transaction does not hold all copies.
func TestALineForTheSenderOfMany(t *testing.T) {
	s := open(t, options(t.TempDir()))
	ms := make([]inbox.Message, 600)
	for n := range ms {
		ms[n] = inboxtest.Sample(inbox.Owner(strconv.Itoa(n)), 1)
		ms[n].Conversation = s.ThreadID([]byte("g"))
	}
	if _, err := s.Append(t.Context(), ms); err != nil {
		t.Fatal(err)
	}
	if n, err := s.ThreadSize(t.Context(), ms[0].Conversation, ms[0].Actor); err != nil || n != 1 {
		t.Errorf("the sender sees %d lines, %v", n, err)
	}
}

// TestLinesOfAConversation: they stand in the order in which they came, together or not; what is in no conversation, or has too
// long an id, has none.
func TestLinesOfAConversation(t *testing.T) {
	s := open(t, options(t.TempDir()))
	conversation, reader := s.ThreadID([]byte("g")), inbox.LocalReader("bob")
	message := func(n int) inbox.Message {
		m := inboxtest.Sample("bob", n)
		m.Conversation = conversation
		return m
	}
	appendAll := func(ms ...inbox.Message) {
		t.Helper()
		if _, err := s.Append(t.Context(), ms); err != nil {
			t.Fatal(err)
		}
	}
	appendAll(inboxtest.Sample("bob", 100), inboxtest.Sample("bob", 101))
	if kinds, err := s.KindsThere(); err != nil || kinds['c'] != 0 {
		t.Errorf("%d lines of no conversation, %v", kinds['c'], err)
	}
	appendAll(message(1), message(2), message(3))
	appendAll(message(4))
	longest, longer := message(5), message(6)
	longest.ActivityID, longer.ActivityID = strings.Repeat("i", 2048), strings.Repeat("i", 2049)
	appendAll(longest, longer, message(7))
	lines, err := s.Thread(t.Context(), conversation, reader, 0, 100)
	if err != nil || len(lines) != 6 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	for at, m := range []inbox.Message{message(1), message(2), message(3), message(4), longest, message(7)} {
		if lines[at].ActivityID != m.ActivityID || at > 0 && lines[at].Seq <= lines[at-1].Seq {
			t.Errorf("line %d, number %d, is %.60s", at, lines[at].Seq, lines[at].ActivityID)
		}
	}
	if some, err := s.Thread(t.Context(), conversation, reader, lines[1].Seq, 2); err != nil || !slices.Equal(some, lines[2:4]) {
		t.Errorf("two behind the second are %+v, %v", some, err)
	}
}
