package storage_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

// TestClockLeaps: a clock that leaps a year ahead hides what is kept, as expired, and brings it back when it is set
// right within the hour; what really expired is dropped an hour later.
func TestClockLeaps(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock = clock.Now
	s := open(t, o)
	tick := func(later time.Duration, left int) {
		t.Helper()
		if err := s.Tick(t.Context(), later); err != nil {
			t.Fatal(err)
		}
		rows(t, s, left)
	}
	appendOne(t, s, inboxtest.Sample("bob", 1))
	clock.Advance(365 * 24 * time.Hour)
	if u, err := s.Usage(t.Context(), "bob"); err != nil || u.Total != 0 {
		t.Errorf("a year later: %+v, %v", u, err)
	}
	tick(0, 1)
	tick(59*time.Minute, 1)
	clock.Advance(-365 * 24 * time.Hour)
	if u, err := s.Usage(t.Context(), "bob"); err != nil || u.Total != 1 {
		t.Errorf("set right: %+v, %v", u, err)
	}
	tick(2*time.Hour, 1) // it is not over any more
	clock.Advance(-48 * time.Hour)
	appendOne(t, s, inboxtest.Sample("bob", 2)) // before the first one, says the clock
	if es, err := s.After(t.Context(), "bob", 0, 9); err != nil || len(es) != 2 || es[1].Position != 2 {
		t.Errorf("in order of acceptance: %+v, %v", es, err)
	}
	clock.Advance(48*time.Hour + 365*24*time.Hour)
	tick(2*time.Hour, 2)
	tick(3*time.Hour, 0)
}

// TestRememberedAsLongAsKept: what is still in a mailbox is not accepted again.
func TestRememberedAsLongAsKept(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock = clock.Now
	s := open(t, o)
	m := inboxtest.Sample("bob", 1)
	appendOne(t, s, m)
	clock.Advance(o.Retention + o.Retention/30 - time.Second)
	if rs, err := s.Append(t.Context(), []inbox.Message{m}); err != nil || !errors.Is(rs[0].Err, inbox.ErrDuplicate) {
		t.Errorf("in its last second: %+v, %v", rs, err)
	}
	if es := everything(t, s); len(es) != 1 {
		t.Errorf("%d messages", len(es))
	}
	clock.Advance(time.Second)
	appendOne(t, s, m)
	if es := everything(t, s); len(es) != 1 || es[0].Position != 2 {
		t.Errorf("after its time: %+v", es)
	}
}

// TestPatienceOfShortRetention: what expired is dropped by itself after a tenth of the retention, where that is less than an hour.
func TestPatienceOfShortRetention(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock, o.Retention = clock.Now, 5*time.Hour
	s := open(t, o)
	appendOne(t, s, inboxtest.Sample("bob", 1))
	clock.Advance(6 * time.Hour)
	for _, one := range []struct {
		later time.Duration
		left  int
	}{{0, 1}, {28 * time.Minute, 1}, {31 * time.Minute, 0}} {
		if err := s.Tick(t.Context(), one.later); err != nil {
			t.Fatal(err)
		}
		rows(t, s, one.left)
	}
}

// TestClockIsSetBackIntoAGoneSpan: what comes then is in a span of its own, and stays.
func TestClockIsSetBackIntoAGoneSpan(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock, o.Retention = clock.Now, 30*time.Hour
	s := open(t, o)
	appendOne(t, s, inboxtest.Sample("bob", 1))
	clock.Advance(40 * time.Hour)
	sweep(t, s)
	rows(t, s, 0)
	clock.Advance(-40*time.Hour + time.Minute)
	appendOne(t, s, inboxtest.Sample("bob", 2))
	for range 2 {
		if es := everything(t, s); len(es) != 1 || es[0].Position != 2 {
			t.Errorf("%+v", es)
		}
		sweep(t, s)
		closeStore(t, s)
		s = open(t, o)
	}
}
