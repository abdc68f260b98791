package storage_test

import (
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

// sharing is a store in whose slowed group bob's sender has a share, and what is left of it.
func sharing(t *testing.T, o storage.Options) (s *storage.Store, slowed func(n int) inbox.Message, left func() int64) {
	t.Helper()
	o.Share = 1 << 20
	s = open(t, o)
	actor := inboxtest.Sample("bob", 0).Actor
	change := func(f func(l inbox.Ledger) error) {
		t.Helper()
		if err := s.ChangeRows(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	change(func(l inbox.Ledger) error {
		lesson := inbox.Lesson{Owner: "bob", Group: []byte("group"), Members: []string{actor}}
		return inbox.Door{}.Complete(0).Learn(l, time.Now(), lesson)
	})
	slowed = func(n int) inbox.Message {
		m := inboxtest.Sample("bob", n)
		m.Fate, m.Until, m.Activity = inbox.Slow, time.Now(), make([]byte, 1000)
		return m
	}
	left = func() (left int64) {
		change(func(l inbox.Ledger) (err error) {
			left, err = l.Share("bob", actor)
			return err
		})
		return left
	}
	return s, slowed, left
}

func letGo(t *testing.T, s *storage.Store) {
	t.Helper()
	if _, err := inbox.New(inbox.Options{Store: s}).LetGo(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestUncountedWaitHeals: what waited before it was counted is counted from its delivery on, and what waited beside it stays so.
func TestUncountedWaitHeals(t *testing.T) {
	s, slowed, left := sharing(t, options(t.TempDir()))
	appendOne(t, s, slowed(1))
	appendOne(t, s, slowed(2))
	if got := left(); got != 1<<20-2000 {
		t.Fatalf("%d bytes are left", got)
	}
	if _, err := s.Tamper('h', func(_, _ []byte) (k, v []byte) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	appendOne(t, s, slowed(3))
	if got := left(); got != 1<<20-1000 {
		t.Errorf("%d bytes are left while two messages are not counted", got)
	}
	letGo(t, s)
	if got := left(); got != 1<<20-3000 {
		t.Errorf("%d bytes are left of those that three messages in the mailbox leave", got)
	}
}

// TestShareOutlivesWait: the count of what waits is kept for as long as it may wait, and not longer.
func TestShareOutlivesWait(t *testing.T) {
	o := options(t.TempDir())
	o.Retention, o.Door.Life = time.Hour, 100*24*time.Hour
	s, slowed, _ := sharing(t, o)
	goes := func(want time.Duration) {
		t.Helper()
		all := s.Lifetimes()["share of a mailbox"]
		if len(all) != 1 {
			t.Fatalf("%d shares", len(all))
		}
		if got := time.Until(all[0]); all[0].IsZero() != (want == 0) || want > 0 && (got < want || got > want+3*24*time.Hour) {
			t.Errorf("it goes at %v, want %v from now", all[0], want)
		}
	}
	asks := slowed(1)
	asks.Kind, asks.Group, asks.Fate = "welcome", nil, inbox.Await
	appendOne(t, s, asks)
	goes(o.Door.Life)
	appendOne(t, s, slowed(2))
	goes(0)
	if err := inbox.New(inbox.Options{Store: s}).DropRequest(t.Context(), "bob", inbox.RequestID(asks.Actor)); err != nil {
		t.Fatal(err)
	}
	goes(0)
	letGo(t, s)
	goes(inbox.Remembered)
}
