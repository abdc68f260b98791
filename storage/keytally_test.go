package storage_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

func TestKeyPackagesAreCountedByState(t *testing.T) {
	clock := inboxtest.NewClock()
	r := prometheus.NewRegistry()
	o := options(t.TempDir())
	o.Clock, o.Metrics = clock.Now, r
	s := open(t, o)
	d := inboxtest.NewDirectory(s, clock.Now)
	const actor = "https://social.example/users/bob"
	inboxtest.Fill(t, d, "bob", inboxtest.NewClient(actor, clock.Now()), 5)
	only := inboxtest.Fill(t, d, "bob", inboxtest.NewClient(actor, clock.Now()), 1)
	short := inboxtest.NewClient(actor, clock.Now())
	short.Lifetime = time.Hour
	inboxtest.Fill(t, d, "carol", short, 3)
	_, err := d.Publish(t.Context(), inbox.Publication{Owner: "carol", Actor: actor, Activity: "a", Uploads: []inbox.Upload{
		{ID: inbox.NewID(), Package: inboxtest.NewClient(actor, clock.Now()).Package(), Content: []byte("{}")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Consume(t.Context(), []inbox.Owner{"bob"}, [][]byte{only[0].Ref}); err != nil {
		t.Fatal(err)
	}
	clock.Advance(2 * time.Hour)
	if _, err := d.Claim(t.Context(), "bob", inbox.Requester{ID: "zoe"}); err != nil {
		t.Fatal(err)
	}
	got := gather(t, r)
	for state, want := range map[string]float64{"listed": 4, "reserved": 1, "used": 1, "proposed": 1} {
		if n := got["sealgate_key_packages "+state]; n != want {
			t.Errorf("%s: %v, want %v", state, n, want)
		}
	}
}
