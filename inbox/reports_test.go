package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

// forgetful is a store that fails to keep, or to give, values.
type forgetful struct {
	*inboxtest.Memory
	keep, kept error
}

func (s *forgetful) Keep(ctx context.Context, name string, value []byte) error {
	return errors.Join(s.keep, s.Memory.Keep(ctx, name, value))
}

func (s *forgetful) Kept(ctx context.Context, name string) ([]byte, error) {
	if s.kept != nil {
		return nil, s.kept
	}
	return s.Memory.Kept(ctx, name)
}

func TestReports(t *testing.T) {
	clock := inboxtest.NewClock()
	store := &forgetful{Memory: &inboxtest.Memory{}}
	in := inbox.New(inbox.Options{Store: store, Clock: clock.Now})
	w := in.Watch("bob")
	defer w.Close()
	about := func(host string, n int, kind inbox.Kind) inbox.Notice {
		return inbox.Notice{Kind: kind, At: clock.Now(), Host: host, Activity: fmt.Sprint(n)}
	}
	report := func(n inbox.Notice) {
		t.Helper()
		must(t, in.Report(t.Context(), "bob", n))
	}
	want := func(n int) []inbox.Notice {
		t.Helper()
		all, err := in.Reports(t.Context(), "bob")
		if err != nil || len(all) != n {
			t.Fatalf("%+v, %v, want %d", all, err, n)
		}
		return all
	}
	want(0)
	report(about("a.example", 1, inbox.DeliveryDelayed))
	report(about("b.example", 1, inbox.DeliveryDelayed))
	report(about("a.example", 2, inbox.DeliveryDelayed))
	report(about("a.example", 1, inbox.DeliveryFailed)) // in the place of the first
	if all := want(3); all[0].Host != "b.example" || all[2].Kind != inbox.DeliveryFailed {
		t.Errorf("%+v", all)
	}
	if got := len(w.Notices()); got != 4 {
		t.Errorf("%d were told", got)
	}
	must(t, in.Retract(t.Context(), "bob", about("b.example", 1, "")))
	want(2)
	clock.Advance(30 * 24 * time.Hour)
	want(2)
	clock.Advance(time.Second)
	want(0)
	for n := range 300 {
		report(about("a.example", n, inbox.DeliveryFailed))
	}
	if all := want(256); all[0].Activity != "44" || all[255].Activity != "299" {
		t.Errorf("%+v to %+v are left", all[0], all[255])
	}
	w.Notices()
	for _, s := range []forgetful{{keep: errDisk}, {kept: errDisk}} {
		store.keep, store.kept = s.keep, s.kept
		if err := in.Report(t.Context(), "bob", about("a.example", 1, inbox.DeliveryFailed)); !errors.Is(err, errDisk) || len(w.Notices()) != 0 {
			t.Errorf("%+v: %v, or it was told", s, err)
		}
	}
}

func TestReportsWithoutAKeeper(t *testing.T) {
	in := inbox.New(inbox.Options{Store: plain{&inboxtest.Memory{}}})
	w := in.Watch("bob")
	defer w.Close()
	must(t, in.Report(t.Context(), "bob", inbox.Notice{Kind: inbox.DeliveryFailed}))
	if all, err := in.Reports(t.Context(), "bob"); err != nil || len(all) != 0 || len(w.Notices()) != 1 {
		t.Errorf("%+v, %v, or it was not told", all, err)
	}
}
