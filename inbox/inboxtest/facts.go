package inboxtest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

func testEmptyMailbox(t *testing.T, b *bench) {
	if es := b.after(t, "bob", 0, 10); len(es) != 0 {
		t.Errorf("After: %v", es)
	}
	if _, err := b.Find(t.Context(), "bob", "x"); !errors.Is(err, inbox.ErrNotFound) {
		t.Errorf("Find: %v", err)
	}
	if u := b.usage(t, "bob"); u != (inbox.Usage{}) {
		t.Errorf("Usage: %+v", u)
	}
	if rs := b.append(t); len(rs) != 0 {
		t.Errorf("Append of nothing: %v", rs)
	}
}

func testPositionsAreDense(t *testing.T, b *bench) {
	for n := 1; n <= 20; n++ {
		if r := b.append(t, Sample("bob", n))[0]; r.Err != nil || r.Position != inbox.Position(n) {
			t.Fatalf("message %d: %+v", n, r)
		}
	}
	rs := b.append(t, Sample("bob", 21), Sample("carol", 1), Sample("bob", 22))
	want := []inbox.Result{{Position: 21}, {Position: 1}, {Position: 22}}
	if !reflect.DeepEqual(rs, want) {
		t.Errorf("%+v, want %+v", rs, want)
	}
}

func testMessageComesBackWhole(t *testing.T, b *bench) {
	full, bare := Sample("bob", 1), inbox.Message{Owner: "bob", Actor: "a", ActivityID: "i", Received: time.Unix(1, 2).UTC(), Activity: []byte{0}}
	b.append(t, full, bare)
	es := b.after(t, "bob", 0, 10)
	if len(es) != 2 || !reflect.DeepEqual(es[0].Message, full) || !reflect.DeepEqual(es[1].Message, bare) {
		t.Errorf("%+v\nwant %+v and %+v", es, full, bare)
	}
}

func testOwnersAreApart(t *testing.T, b *bench) {
	b.fill(t, "bob", 1, 3)
	b.fill(t, "bo", 1, 1)
	if got := len(b.after(t, "bob", 0, 10)); got != 3 {
		t.Errorf("bob has %d", got)
	}
	if got := b.usage(t, "bo"); got.Total != 1 || got.Last != 1 {
		t.Errorf("bo has %+v", got)
	}
	if _, err := b.Find(t.Context(), "bo", Sample("bob", 2).ActivityID); !errors.Is(err, inbox.ErrNotFound) {
		t.Errorf("bo finds bob's message: %v", err)
	}
}

func testPages(t *testing.T, b *bench) {
	b.fill(t, "bob", 1, 5)
	b.clock.Advance(retention / 2) // what comes now lies elsewhere, if the store divides by time
	b.fill(t, "bob", 6, 5)
	up := []struct {
		p     inbox.Position
		limit int
		want  []inbox.Position
	}{
		{0, 3, []inbox.Position{1, 2, 3}},
		{3, 4, []inbox.Position{4, 5, 6, 7}},
		{9, 100, []inbox.Position{10}},
		{10, 3, []inbox.Position{}},
		{1 << 40, 3, []inbox.Position{}},
		{^inbox.Position(0), 3, []inbox.Position{}},
		{0, 0, []inbox.Position{}},
	}
	for _, c := range up {
		if got := positions(b.after(t, "bob", c.p, c.limit)); !slices.Equal(got, c.want) {
			t.Errorf("After %d limit %d: %v, want %v", c.p, c.limit, got, c.want)
		}
	}
}

func testDuplicates(t *testing.T, b *bench) {
	b.fill(t, "bob", 1, 2)
	other := Sample("bob", 1)
	other.Activity = []byte("other bytes")
	stranger := Sample("bob", 1)
	stranger.Actor = "https://evil.example/users/mallory"
	rs := b.append(t, other, stranger, Sample("bob", 3), Sample("bob", 3), Sample("carol", 1))
	want := []inbox.Result{
		{Position: 1, Err: inbox.ErrDuplicate},
		{Position: 3}, // another actor cannot spend alice's id
		{Position: 4},
		{Position: 4, Err: inbox.ErrDuplicate},
		{Position: 1},
	}
	for i := range want {
		if rs[i].Position != want[i].Position || !errors.Is(rs[i].Err, want[i].Err) {
			t.Errorf("message %d: %+v, want %+v", i, rs[i], want[i])
		}
	}
	if u := b.usage(t, "bob"); u.Total != 4 {
		t.Errorf("%d kept, want 4", u.Total)
	}
}

func testDuplicateOutlivesMessage(t *testing.T, b *bench) {
	b.fill(t, "bob", 1, 1)
	b.clock.Advance(inbox.Remembered - time.Minute)
	if got := b.usage(t, "bob").Total; got != 0 {
		t.Fatalf("%d kept after retention", got)
	}
	if r := b.append(t, Sample("bob", 1))[0]; !errors.Is(r.Err, inbox.ErrDuplicate) || r.Position != 1 {
		t.Errorf("within eight days: %+v", r)
	}
	b.clock.Advance(retention)
	if r := b.append(t, Sample("bob", 1))[0]; r.Err != nil || r.Position != 2 {
		t.Errorf("long after: %+v", r)
	}
}

func testFind(t *testing.T, b *bench) {
	b.fill(t, "bob", 1, 3)
	find := func(id string) (inbox.Position, error) { return b.Find(t.Context(), "bob", id) }
	id := Sample("bob", 2).ActivityID
	if p, err := find(id); p != 2 || err != nil {
		t.Errorf("%d, %v", p, err)
	}
	if _, err := find(id + "x"); !errors.Is(err, inbox.ErrNotFound) {
		t.Errorf("unknown id: %v", err)
	}
	again := Sample("bob", 2)
	again.Actor = "https://evil.example/users/mallory"
	b.append(t, again)
	if p, err := find(id); p != 2 || err != nil {
		t.Errorf("a later message moved the cursor to %d, %v", p, err)
	}
	b.clock.Advance(2 * retention)
	if _, err := find(id); !errors.Is(err, inbox.ErrNotFound) {
		t.Errorf("expired: %v", err)
	}
	last := again
	last.Actor = "https://third.example/users/trent"
	b.append(t, last)
	if p, err := find(id); p != 5 || err != nil {
		t.Errorf("%d, %v, want the one kept", p, err)
	}
}

func testQuota(t *testing.T, b *bench) {
	of := func(n int, size int64) inbox.Message { return sized(Sample("bob", n), size) }
	rs := b.append(t, of(1, quota/2), of(2, quota/2+1), of(3, quota/2-10), of(4, 11), of(5, 10), of(6, 1))
	full := []bool{false, true, false, true, false, true}
	for i, r := range rs {
		if errors.Is(r.Err, inbox.ErrFull) != full[i] {
			t.Errorf("message %d: %+v", i+1, r)
		}
	}
	if u := b.usage(t, "bob"); u.Bytes != quota || u.Total != 3 || u.First != 1 || u.Last != 3 {
		t.Errorf("%+v", u)
	}
	if r := b.append(t, Sample("carol", 1))[0]; r.Err != nil {
		t.Errorf("bob's quota stops carol: %v", r.Err)
	}
	b.clock.Advance(2 * retention)
	if r := b.append(t, of(2, quota))[0]; r.Err != nil || r.Position != 4 {
		t.Errorf("after expiry: %+v", r) // ErrFull remembered nothing, positions go on
	}
}

func testExpiry(t *testing.T, b *bench) {
	b.fill(t, "bob", 1, 2)
	b.clock.Advance(retention - time.Second)
	b.fill(t, "bob", 3, 1)
	if got := positions(b.after(t, "bob", 0, 10)); !slices.Equal(got, []inbox.Position{1, 2, 3}) {
		t.Errorf("before retention: %v", got)
	}
	b.clock.Advance(retention/10 + time.Second)
	if got := positions(b.after(t, "bob", 0, 10)); !slices.Equal(got, []inbox.Position{3}) {
		t.Errorf("after retention: %v", got)
	}
	want := inbox.Usage{Total: 1, Bytes: int64(len(Sample("bob", 3).Activity)), First: 3, Last: 3}
	if u := b.usage(t, "bob"); u != want {
		t.Errorf("%+v, want %+v", u, want)
	}
	b.clock.Advance(2 * retention)
	if u := b.usage(t, "bob"); u != (inbox.Usage{Last: 3}) {
		t.Errorf("all gone: %+v", u)
	}
	b.fill(t, "bob", 4, 1)
	if got := positions(b.after(t, "bob", 0, 10)); !slices.Equal(got, []inbox.Position{4}) {
		t.Errorf("positions were reused: %v", got)
	}
}

func testClockSetBack(t *testing.T, b *bench) {
	b.fill(t, "bob", 1, 1)
	b.clock.Advance(-retention / 2)
	b.fill(t, "bob", 2, 1)
	b.clock.Advance(time.Minute)
	b.fill(t, "bob", 3, 1)
	if got := positions(b.after(t, "bob", 0, 10)); !slices.Equal(got, []inbox.Position{1, 2, 3}) {
		t.Errorf("%v", got)
	}
}

func testBytesAreOwned(t *testing.T, b *bench) {
	m := Sample("bob", 1)
	b.append(t, m)
	scribble(m.Activity)
	scribble(m.Group)
	for range 2 {
		e := b.after(t, "bob", 0, 1)[0]
		if want := Sample("bob", 1); !reflect.DeepEqual(e.Message, want) {
			t.Fatalf("%+v, want %+v", e.Message, want)
		}
		scribble(e.Activity)
		scribble(e.Group)
	}
}

func scribble(b []byte) {
	for i := range b {
		b[i] = '!'
	}
}

func testCancelledContext(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Append(ctx, []inbox.Message{Sample("bob", 1)}); !errors.Is(err, context.Canceled) {
		t.Errorf("Append: %v", err)
	}
	if _, err := b.After(ctx, "bob", 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("After: %v", err)
	}
	if _, err := b.Find(ctx, "bob", "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("Find: %v", err)
	}
	if _, err := b.Usage(ctx, "bob"); !errors.Is(err, context.Canceled) {
		t.Errorf("Usage: %v", err)
	}
}
