package inboxtest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// testRequestsAreBounded: a host with many requests drives out its own, never those of who asks once.
func testRequestsAreBounded(t *testing.T, b *bench) {
	b.waits(t, letter("bob", "https://first.example/users/honest", "welcome", "", 1))
	for n := range 10 * door.Requests {
		b.waits(t, sized(letter("bob", fmt.Sprintf("https://flood%d.example/users/%d", n%3, n), "welcome", "", 1), 1000))
		b.clock.Advance(time.Second)
	}
	b.waits(t, letter("bob", "https://last.example/users/honest", "welcome", "", 1))
	all := b.requests(t, "bob")
	var bytes int64
	honest := 0
	for _, w := range all {
		bytes += w.Bytes
		if w.Host == "first.example" || w.Host == "last.example" {
			honest++
		}
	}
	if len(all) > door.Requests || len(all) < door.Requests/2 || bytes > door.Bytes {
		t.Errorf("%d requests of %d bytes", len(all), bytes)
	}
	if honest != 2 {
		t.Errorf("%d of 2 honest strangers are left", honest)
	}
	b.clock.Advance(door.Life)
	b.waits(t, letter("bob", stranger, "welcome", "", 1)) // what expired is counted out
	b.waits(t, sized(letter("bob", "https://big.example/users/x", "welcome", "", 1), door.RequestBytes))
	if got := len(b.requests(t, "bob")); got != 2 {
		t.Errorf("%d requests, want 2", got)
	}
}

func testAllowance(t *testing.T, b *bench) {
	for n := range door.Messages {
		b.delivered(t, letter("bob", stranger, "application", fmt.Sprintf("group %d", n), n)) // a new group does not help
	}
	over := letter("bob", stranger, "commit", "g", 1)
	b.waits(t, over)
	if all := b.requests(t, "bob"); len(all) != 1 || all[0].Welcomes != 0 {
		t.Errorf("%+v", all)
	}
	b.waits(t, sized(letter("bob", friend, "application", "h", 1), door.MessageBytes+1))
	b.accept(t, "bob", stranger)
	b.delivered(t, letter("bob", stranger, "commit", "g", 2))
	for n, size := range []int64{door.MessageBytes / 2, door.MessageBytes / 2, 1} {
		if r := b.enter(t, sized(letter("carol", stranger, "application", "g", n), size)); r.Delivered() != (n < 2) || r.Waits != (n == 2) {
			t.Errorf("message %d: %+v", n, r)
		}
	}
}

// testEvictsToSevenEighths: the request that is too much, by number or by bytes, drives out so many that an eighth is free.
func testEvictsToSevenEighths(t *testing.T, b *bench) {
	for o, c := range map[inbox.Owner]struct {
		size      int64
		fit, left int
	}{"number": {100, door.Requests, door.Requests * 7 / 8}, "bytes": {door.Bytes / 8, 8, 7}} {
		for n := range c.fit + 1 {
			m := letter(o, fmt.Sprintf("https://h%d.example/users/x", n), "welcome", "", 1)
			r, want := b.waits(t, sized(m, c.size)), [2]int{n + 1, 0}
			if n == c.fit {
				want = [2]int{c.left, n + 1 - c.left}
			}
			if all := b.requests(t, o); len(all) != want[0] || r.Evicted != want[1] {
				t.Errorf("%s, request %d: %d are left, %d evicted, want %d", o, n+1, len(all), r.Evicted, want)
			}
		}
	}
}

// testOwnRequestStays: what a message follows is not driven out by it, nor is what is being let go.
func testOwnRequestStays(t *testing.T, b *bench) {
	from := func(o inbox.Owner, n int, kind string, size int64) inbox.Message {
		return sized(letter(o, fmt.Sprintf("https://h%d.example/users/x", n), kind, fmt.Sprint("group ", n), 1), size)
	}
	for n := range 8 {
		b.waits(t, from("bob", n, "welcome", door.Bytes/8))
		b.clock.Advance(time.Second)
	}
	b.waits(t, from("bob", 0, "commit", 1))
	if all := b.requests(t, "bob"); len(all) >= 8 || all[0].Host != "h0.example" || all[0].Messages != 2 {
		t.Errorf("%d requests, the first %+v", len(all), all[0])
	}
	b.waits(t, from("dave", 0, "welcome", door.Bytes/8-1))
	b.waits(t, from("dave", 0, "commit", 1))
	for n := range 7 {
		b.clock.Advance(time.Second)
		b.waits(t, from("dave", n+1, "welcome", door.Bytes/8))
	}
	b.waits(t, sized(letter("dave", friend, "commit", "group 0", 1), 1)) // which follows somebody else's
	if all := b.requests(t, "dave"); len(all) >= 8 || all[0].Host != "h0.example" || all[0].Messages != 3 {
		t.Errorf("%d requests, the first %+v", len(all), all[0])
	}
	b.accept(t, "dave", "https://h0.example/users/x")
	if got := b.usage(t, "dave"); got.Total != 3 {
		t.Errorf("%+v", got)
	}
	for n := range 4 {
		b.waits(t, from("carol", n, "welcome", door.Bytes/4))
		again := from("carol", n, "welcome", 1)
		again.Fate, again.ActivityID = inbox.Admit, again.ActivityID+"/again"
		b.waits(t, again)
	}
	b.waits(t, from("carol", 5, "welcome", 100))
	b.letGo(t)
	if got := b.usage(t, "carol"); got.Total != 8 || len(b.requests(t, "carol")) != 1 {
		t.Errorf("%+v and %+v", got, b.requests(t, "carol"))
	}
}

// testExpiredAreCounted: each request that ran out unheard is told of once, by the next that comes; one that was dropped is not.
func testExpiredAreCounted(t *testing.T, b *bench) {
	opens := func(o inbox.Owner, n, expired int) {
		t.Helper()
		if r := b.waits(t, letter(o, fmt.Sprint("https://h.example/users/", n), "welcome", "", 1)); r.Expired != expired {
			t.Errorf("%s's request %d: %d expired, want %d", o, n, r.Expired, expired)
		}
	}
	opens("carol", 1, 0)
	if err := b.Inbox.DropRequest(t.Context(), "carol", b.requests(t, "carol")[0].ID); err != nil {
		t.Fatal(err)
	}
	opens("bob", 1, 0)
	b.clock.Advance(time.Hour)
	opens("bob", 2, 0)
	b.clock.Advance(door.Life - time.Hour)
	opens("bob", 3, 1)
	opens("carol", 2, 0)
	b.clock.Advance(time.Hour)
	opens("bob", 4, 1)
	b.clock.Advance(door.Life)
	opens("bob", 5, 2)
}

// testGroupsAreBounded: groups that strangers make up do not drive out those that are joined.
func testGroupsAreBounded(t *testing.T, b *bench) {
	b.learn(t, inbox.Lesson{Owner: "bob", Group: []byte("real"), Members: []string{friend}})
	for from := 0; from < 1300; from += 50 {
		var ms []inbox.Message
		for n := from; n < from+50; n++ {
			actor := fmt.Sprintf("https://x.example/users/%d", n/door.Messages)
			ms = append(ms, letter("bob", actor, "application", fmt.Sprintf("made up %d", n), n))
		}
		b.append(t, ms...)
		b.clock.Advance(time.Millisecond)
		if from == 950 {
			if known := remembered(t, b); known != 1000 {
				t.Errorf("%d of 1000 groups are remembered", known)
			}
		}
	}
	if known := remembered(t, b); known > 1024 || known < 700 {
		t.Errorf("%d groups are remembered", known)
	}
	if s, err := b.Inbox.Standing(t.Context(), "bob", []byte("real"), friend); err != nil || !s.Joined || !s.Seen {
		t.Errorf("%+v, %v", s, err)
	}
}

func remembered(t *testing.T, b *bench) (known int) {
	t.Helper()
	for n := range 1300 {
		actor := fmt.Sprintf("https://x.example/users/%d", n/door.Messages)
		if s, err := b.Inbox.Standing(t.Context(), "bob", fmt.Appendf(nil, "made up %d", n), actor); err != nil {
			t.Fatal(err)
		} else if s.Seen {
			known++
		}
	}
	return known
}

func testSenderHasAShare(t *testing.T, b *bench) {
	b.learn(t, inbox.Lesson{Owner: "bob", Group: []byte("g"), Members: []string{friend, stranger}})
	m := func(actor string, n int, size int64) inbox.Message {
		return sized(letter("bob", actor, "application", "g", n), size)
	}
	b.delivered(t, m(friend, 1, quota/2-1))
	if r := b.enter(t, m(friend, 2, 2)); !errors.Is(r.Err, inbox.ErrFull) {
		t.Errorf("over the share: %+v", r)
	}
	b.delivered(t, m(friend, 3, 1))
	b.delivered(t, m(stranger, 1, 100))
	if err := b.Store.(inbox.Keeper).Trim(t.Context(), "bob", 1); err != nil {
		t.Fatal(err)
	}
	b.delivered(t, m(friend, 2, 2)) // ErrFull remembered nothing
	b.clock.Advance(retention + retention/10)
	b.delivered(t, m(friend, 4, quota/2))
}

// testBytesAreCountedOut: whatever has become of a request, its bytes are free for others.
func testBytesAreCountedOut(t *testing.T, b *bench) {
	from := func(o inbox.Owner, actor, kind string, size int64) inbox.Message {
		return sized(letter(o, actor, kind, "g", 1), size)
	}
	id := inbox.RequestID(stranger)
	for name, f := range map[inbox.Owner]func(o inbox.Owner) error{
		"accepted": func(o inbox.Owner) error { return b.Inbox.AcceptRequest(t.Context(), o, id) },
		"dropped":  func(o inbox.Owner) error { return b.Inbox.DropRequest(t.Context(), o, id) },
		"learned": func(o inbox.Owner) error {
			b.learn(t, inbox.Lesson{Owner: o, Group: []byte("g"), Members: []string{stranger}})
			return nil
		},
		"overflown": func(o inbox.Owner) error {
			m := from(o, stranger, "application", 100)
			m.Firm = true
			return b.enter(t, m).Err
		},
	} {
		b.waits(t, from(name, stranger, "welcome", 10))
		b.waits(t, from(name, stranger, "commit", door.RequestBytes-10))
		if err := f(name); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b.letGo(t)
		before := len(b.requests(t, name))
		for n, size := range []int64{door.RequestBytes - 10, door.RequestBytes, door.RequestBytes, door.RequestBytes} {
			b.waits(t, from(name, fmt.Sprintf("https://h%d.example/users/x", n), "welcome", size))
		}
		if got := len(b.requests(t, name)); got != before+4 {
			t.Errorf("%s: %d of 4 are left", name, got-before)
		}
	}
}
