package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

// marked is an inbox with ten messages for bob.
func marked(t *testing.T) (*inbox.Inbox, *inboxtest.Memory, *inboxtest.Clock) {
	t.Helper()
	clock := inboxtest.NewClock()
	store := &inboxtest.Memory{Clock: clock.Now}
	for n := 1; n <= 10; n++ {
		if _, err := store.Append(t.Context(), []inbox.Message{inboxtest.Sample("bob", n)}); err != nil {
			t.Fatal(err)
		}
	}
	return inbox.New(inbox.Options{Store: store, Clock: clock.Now}), store, clock
}

func first(t *testing.T, in *inbox.Inbox) inbox.Position {
	t.Helper()
	u, err := in.Usage(t.Context(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	return u.First
}

func done(t *testing.T, in *inbox.Inbox, device string, through inbox.Position) {
	t.Helper()
	if err := in.Done(t.Context(), "bob", device, through); err != nil {
		t.Fatal(err)
	}
}

func meet(t *testing.T, in *inbox.Inbox, device string) inbox.Position {
	t.Helper()
	p, err := in.Meet(t.Context(), "bob", device)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMessagesStayForTheSlowestDevice(t *testing.T) {
	in, _, _ := marked(t)
	if p := meet(t, in, "phone"); p != 0 {
		t.Errorf("a new device is done with %d", p)
	}
	meet(t, in, "tablet")
	done(t, in, "phone", 7)
	if p := first(t, in); p != 1 {
		t.Errorf("what the tablet needs is gone up to %d", p)
	}
	done(t, in, "tablet", 4)
	if p := first(t, in); p != 5 {
		t.Errorf("the first is %d, want what the tablet needs", p)
	}
	done(t, in, "phone", 2) // never goes back
	if p := meet(t, in, "phone"); p != 7 {
		t.Errorf("the phone is done with %d, want 7", p)
	}
	done(t, in, "tablet", 10)
	if p := first(t, in); p != 8 {
		t.Errorf("the first is %d, want what the phone needs", p)
	}
}

func TestADeviceThatIsGoneHoldsNothingBack(t *testing.T) {
	in, _, clock := marked(t)
	meet(t, in, "lost")
	for range 31 {
		clock.Advance(24 * time.Hour)
		meet(t, in, "phone")
	}
	done(t, in, "phone", 10)
	if p := first(t, in); p != 0 {
		t.Errorf("%d is still kept", p)
	}
	if p := meet(t, in, "lost"); p != 0 {
		t.Errorf("back again it is done with %d", p)
	}
}

// TestADeviceThatReadsHoldsBack: who reads every day is not forgotten, though that is written down but once a day.
func TestADeviceThatReadsHoldsBack(t *testing.T) {
	in, _, clock := marked(t)
	for n := range 40 {
		meet(t, in, "phone")
		meet(t, in, "tablet")
		clock.Advance([]time.Duration{12 * time.Hour, 36 * time.Hour}[n%2])
	}
	done(t, in, "phone", 10)
	if p := first(t, in); p != 1 {
		t.Errorf("the first is %d, and the tablet needs all", p)
	}
}

// trimming is a store that has another device met as it begins to remove messages.
type trimming struct {
	*inboxtest.Memory
	meet func()
}

func (s trimming) Trim(ctx context.Context, o inbox.Owner, through inbox.Position) error {
	s.meet()
	return s.Memory.Trim(ctx, o, through)
}

// TestWhoIsMetMissesNothing: what was there when a device was met stays, though another was just done with it.
func TestWhoIsMetMissesNothing(t *testing.T) {
	_, store, clock := marked(t)
	var in *inbox.Inbox
	wasThere := make(chan inbox.Position, 1)
	in = inbox.New(inbox.Options{Clock: clock.Now, Store: trimming{store, func() {
		hasToWait := in.Locked("bob")
		go func() {
			meet(t, in, "new")
			wasThere <- first(t, in)
		}()
		if !hasToWait {
			wasThere <- <-wasThere
		}
	}}})
	done(t, in, "phone", 7)
	if was, is := <-wasThere, first(t, in); was != is {
		t.Errorf("the new device was met with message %d, and the first is %d now", was, is)
	}
}

func TestDevicesAreBounded(t *testing.T) {
	in, store, clock := marked(t)
	for n := range 500 {
		clock.Advance(time.Second)
		meet(t, in, fmt.Sprintf("device %d", n))
	}
	value, err := store.Kept(t.Context(), "devices/bob")
	if n := strings.Count(string(value), `"seen"`); err != nil || n != 64 {
		t.Errorf("%d are kept, %v", n, err)
	}
}

// plain is a Store that is no Keeper.
type plain struct{ inbox.Store }

func TestWithoutAKeeperNothingIsRemoved(t *testing.T) {
	in := inbox.New(inbox.Options{Store: plain{&inboxtest.Memory{}}})
	if err := in.Done(t.Context(), "bob", "phone", 3); !errors.Is(err, inbox.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}
