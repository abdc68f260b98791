package inboxtest

import (
	"errors"
	"slices"
	"testing"

	"github.com/sealgate/sealgate/inbox"
)

func testTrim(t *testing.T, b *bench) {
	k, ok := b.Store.(inbox.Keeper)
	if !ok {
		t.Fatal("the store is no Keeper")
	}
	b.fill(t, "bob", 1, 300)
	b.clock.Advance(retention / 2) // the rest lies elsewhere, if the store divides by time
	b.fill(t, "bob", 301, 10)
	b.fill(t, "carol", 1, 2)
	size := int64(0)
	for n := 306; n <= 310; n++ {
		size += int64(len(Sample("bob", n).Activity))
	}
	for _, through := range []inbox.Position{0, 2, 2, 305} {
		if err := k.Trim(t.Context(), "bob", through); err != nil {
			t.Fatal(err)
		}
		if got := b.after(t, "bob", 0, 1); len(got) != 1 || got[0].Position != through+1 {
			t.Fatalf("after Trim %d: %v", through, positions(got))
		}
	}
	if u := b.usage(t, "bob"); u != (inbox.Usage{Total: 5, Bytes: size, First: 306, Last: 310}) {
		t.Errorf("%+v, want 5 messages of %d bytes", u, size)
	}
	if _, err := b.Find(t.Context(), "bob", Sample("bob", 305).ActivityID); !errors.Is(err, inbox.ErrNotFound) {
		t.Errorf("what was removed is found: %v", err)
	}
	if r := b.append(t, Sample("bob", 305))[0]; !errors.Is(r.Err, inbox.ErrDuplicate) {
		t.Errorf("what was removed came again: %+v", r)
	}
	if err := k.Trim(t.Context(), "bob", 1<<40); err != nil {
		t.Fatal(err)
	}
	if u := b.usage(t, "bob"); u != (inbox.Usage{Last: 310}) {
		t.Errorf("all gone: %+v", u)
	}
	b.fill(t, "bob", 311, 1)
	if got := positions(b.after(t, "bob", 0, 5)); !slices.Equal(got, []inbox.Position{311}) {
		t.Errorf("positions were reused: %v", got)
	}
	if u := b.usage(t, "carol"); u.Total != 2 {
		t.Errorf("carol lost something: %+v", u)
	}
	if err := k.Trim(t.Context(), "nobody", 5); err != nil {
		t.Errorf("a mailbox never heard of: %v", err)
	}
}

func testTrimGivesBackQuota(t *testing.T, b *bench) {
	k, ok := b.Store.(inbox.Keeper)
	if !ok {
		t.Fatal("the store is no Keeper")
	}
	m := sized(Sample("bob", 1), quota)
	b.append(t, m)
	if err := k.Trim(t.Context(), "bob", 1); err != nil {
		t.Fatal(err)
	}
	m.ActivityID += "/again"
	if r := b.append(t, m)[0]; r.Err != nil || r.Position != 2 {
		t.Errorf("%+v, want the quota back", r)
	}
}
