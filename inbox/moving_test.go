package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

// waiting is an inbox in which a request of alice's waits for each of owners: a Welcome of 1.5 MiB and three messages of
// half a MiB.
func waiting(t *testing.T, clock *inboxtest.Clock, owners ...inbox.Owner) (*inbox.Inbox, inbox.Message) {
	t.Helper()
	store := &inboxtest.Memory{Clock: clock.Now, Door: inbox.Door{RequestBytes: 4 << 20}}
	in := inbox.New(inbox.Options{Store: store, Clock: clock.Now})
	welcome := inbox.Message{Actor: alice, Kind: "welcome", Fate: inbox.Await}
	for _, o := range owners {
		for n, size := range []int{3 << 19, 1 << 19, 1 << 19, 1 << 19} {
			m := welcome
			if n > 0 {
				m.Kind, m.Group, m.Fate = "commit", []byte("room"), inbox.Admit
			}
			m.Owner, m.ActivityID, m.Activity = o, fmt.Sprint("https://peer.example/", n), make([]byte, size)
			if rs, err := in.Keep(t.Context(), []inbox.Message{m}); err != nil || !rs[0].Waits {
				t.Fatalf("%+v, %v", rs, err)
			}
		}
	}
	return in, welcome
}

// TestReleaseInParts: what is let go goes a MiB at a time, in order, and Run is told to come again at once.
func TestReleaseInParts(t *testing.T) {
	clock := inboxtest.NewClock()
	in, welcome := waiting(t, clock, "bob")
	welcome.Owner, welcome.ActivityID, welcome.Fate, welcome.Activity = "bob", "https://peer.example/9", inbox.Admit, make([]byte, 99)
	if rs, err := in.Keep(t.Context(), []inbox.Message{welcome}); err != nil || !rs[0].Waits {
		t.Fatalf("%+v, %v", rs, err)
	}
	for _, want := range []int{1, 3, 5} {
		next, err := in.LetGo(t.Context())
		u, _ := in.Usage(t.Context(), "bob")
		if err != nil || u.Total != want || next.After(clock.Now()) != (want == 5) {
			t.Errorf("%d of 5, next at %v, %v, want %d", u.Total, next, err, want)
		}
	}
}

// TestAcceptIsWhole: a request that its owner accepts is delivered at once, whatever its size, and who listens is told.
func TestAcceptIsWhole(t *testing.T) {
	in, _ := waiting(t, inboxtest.NewClock(), "bob")
	w := in.Watch("bob")
	defer w.Close()
	if err := in.AcceptRequest(t.Context(), "bob", inbox.RequestID(alice)); err != nil {
		t.Fatal(err)
	}
	if u, err := in.Usage(t.Context(), "bob"); u.Total != 4 || err != nil || !woken(w) {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestBeforeRelease: who asked to is shown all that waits before anybody can have it, and can put it off.
func TestBeforeRelease(t *testing.T) {
	in, _ := waiting(t, inboxtest.NewClock(), "bob")
	var shown []inbox.Message
	wrong := errDisk
	in.OnRelease(func(_ context.Context, o inbox.Owner, ms []inbox.Message) error {
		if u, err := in.Usage(t.Context(), o); o != "bob" || u.Total != 0 || err != nil {
			t.Errorf("%s has %+v, %v", o, u, err)
		}
		shown = ms
		return wrong
	})
	for _, want := range []error{errDisk, nil, inbox.ErrNoRequest} {
		if err := in.AcceptRequest(t.Context(), "bob", inbox.RequestID(alice)); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if len(shown) != 4 || shown[0].Kind != "welcome" || len(shown[3].Activity) != 1<<19 {
			t.Errorf("%d are shown", len(shown))
		}
		wrong = nil
	}
}

// TestWhatIsReleasedWasShown: also an invitation that comes while others are shown; and what is shown is no more than goes at once.
func TestWhatIsReleasedWasShown(t *testing.T) {
	in, welcome := waiting(t, inboxtest.NewClock(), "bob")
	shown, most := map[string]bool{}, 0
	n := 10
	in.OnRelease(func(_ context.Context, o inbox.Owner, ms []inbox.Message) error {
		for _, m := range ms {
			shown[m.ActivityID] = true
		}
		most = max(most, len(ms))
		if n++; n <= 12 {
			late := welcome
			late.Owner, late.ActivityID, late.Activity = o, fmt.Sprint("https://peer.example/", n), make([]byte, 1<<19)
			if rs, err := in.Keep(t.Context(), []inbox.Message{late}); err != nil || !rs[0].Waits {
				t.Fatalf("%+v, %v", rs, err)
			}
		}
		return nil
	})
	look := func(want int) {
		t.Helper()
		all, err := in.After(t.Context(), "bob", 0, 100)
		if len(all) != want || err != nil {
			t.Errorf("%d have arrived, %v, want %d", len(all), err, want)
		}
		for _, one := range all {
			if !shown[one.ActivityID] {
				t.Errorf("%s was not shown", one.ActivityID)
			}
		}
	}
	must(t, in.AcceptRequest(t.Context(), "bob", inbox.RequestID(alice)))
	look(4)
	most = 0
	for _, want := range []int{5, 6} {
		if _, err := in.LetGo(t.Context()); err != nil {
			t.Fatal(err)
		}
		look(want)
	}
	if most != 1 {
		t.Errorf("%d were shown at once", most)
	}
}

// TestRun lets go what a lesson is about at once, what is slowed when its time has come, and after a minute what the store
// could not give.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &flaky{Memory: &inboxtest.Memory{}, left: 1 << 20}
		in := inbox.New(inbox.Options{Store: store})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- in.Run(ctx) }()
		n := 0
		send := func(kind string, fate inbox.Fate) {
			t.Helper()
			m := inboxtest.Sample("bob", n)
			m.Kind, m.Fate, m.Until = kind, fate, time.Now().Add(5*time.Minute)
			if n++; kind == "welcome" {
				m.Group = nil
			}
			if rs, err := in.Keep(t.Context(), []inbox.Message{m}); err != nil || !rs[0].Waits {
				t.Errorf("%+v, %v", rs, err)
			}
		}
		want := func(total int) {
			t.Helper()
			synctest.Wait()
			if u, err := in.Usage(t.Context(), "bob"); err != nil || u.Total != total {
				t.Errorf("%+v, %v, want %d", u, err, total)
			}
		}
		send("welcome", inbox.Await)
		send("commit", inbox.Admit)
		want(0)
		lesson := inbox.Lesson{Owner: "bob", Group: []byte("group"), Members: []string{inboxtest.Sample("bob", 0).Actor}}
		must(t, store.Learn(t.Context(), lesson))
		want(0)
		in.Learned(lesson)
		want(1)
		send("commit", inbox.Slow)
		want(1)
		time.Sleep(5*time.Minute - time.Second)
		want(1)
		time.Sleep(time.Second)
		want(2)
		send("commit", inbox.Slow)
		want(2)
		time.Sleep(5*time.Minute - time.Second)
		must(t, store.Memory.ChangeRows(ctx, func(inbox.Ledger) error { store.left = 0; return nil })) // under its lock
		time.Sleep(time.Second)
		want(2)
		time.Sleep(time.Minute)
		want(3)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := inbox.New(inbox.Options{Store: plain{store.Memory}}).Run(ctx); err != nil { // there is nothing to let go
			t.Error(err)
		}
	})
}

// TestFits: to the byte, and as Append would decide.
func TestFits(t *testing.T) {
	store := &inboxtest.Memory{Quota: 100}
	for size, want := range map[int]bool{100: true, 101: false} {
		m := inbox.Message{Owner: "bob", Actor: alice, ActivityID: "1", Activity: make([]byte, size)}
		if got := store.Fits(&m); got != want {
			t.Errorf("%d bytes of 100 fit: %v", size, got)
		}
	}
}
