package inboxtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// testLargeAppend sends one activity of a MiB to twenty people at once.
func testLargeAppend(t *testing.T, b *bench) {
	store := b.open(t, Setup{Clock: b.clock.Now, Retention: retention, Quota: 8 << 20})
	body := make([]byte, 1<<20)
	for i := range body {
		body[i] = byte(i * i >> 7)
	}
	var ms []inbox.Message
	for i := range 20 {
		m := Sample(inbox.Owner(fmt.Sprint("owner", i)), 1)
		m.Activity = body
		ms = append(ms, m)
	}
	if _, err := store.Append(t.Context(), ms); err != nil {
		t.Fatal(err)
	}
	for _, m := range ms {
		es, err := store.After(t.Context(), m.Owner, 0, 2)
		if err != nil || len(es) != 1 || !reflect.DeepEqual(es[0].Message, m) {
			t.Fatalf("owner %q has %d messages, %v", m.Owner, len(es), err)
		}
	}
}

const (
	writers   = 16
	perWriter = 25
)

// testReadersSeeEveryMessageOnce lets readers chase writers. A reader that passes
// a message committed late never comes back for it, and the test finds the hole.
func testReadersSeeEveryMessageOnce(t *testing.T, b *bench) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() { writeSome(ctx, t, b, w) })
	}
	for range 4 {
		wg.Go(func() { follow(ctx, t, b, writers*perWriter) })
	}
	wg.Wait()
}

// writeSome sends its messages one by one and checks that what was acknowledged
// is seen by the very next read.
func writeSome(ctx context.Context, t *testing.T, b *bench, w int) {
	for i := range perWriter {
		rs, err := b.Append(ctx, []inbox.Message{Sample("bob", w*perWriter+i), Sample(inbox.Owner(fmt.Sprint(w)), i)})
		if err != nil || rs[0].Err != nil {
			t.Errorf("Append: %v %v", rs, err)
			return
		}
		es, err := b.After(ctx, "bob", rs[0].Position-1, 1)
		if err != nil || len(es) != 1 || es[0].ActivityID != Sample("bob", w*perWriter+i).ActivityID {
			t.Errorf("acknowledged message at %d is not there: %v %v", rs[0].Position, es, err)
			return
		}
	}
}

func follow(ctx context.Context, t *testing.T, b *bench, want int) {
	var cursor inbox.Position
	seen := map[string]bool{}
	for len(seen) < want && ctx.Err() == nil {
		es, err := b.After(ctx, "bob", cursor, 7)
		if err != nil {
			t.Errorf("After: %v", err)
			return
		}
		for _, e := range es {
			if e.Position != cursor+1 || seen[e.ActivityID] {
				t.Errorf("position %d after %d, seen before: %t", e.Position, cursor, seen[e.ActivityID])
				return
			}
			cursor, seen[e.ActivityID] = e.Position, true
		}
	}
	if len(seen) != want {
		t.Errorf("followed %d of %d messages", len(seen), want)
	}
}

func testConcurrentDuplicates(t *testing.T, b *bench) {
	var wg sync.WaitGroup
	var kept, duplicate atomic.Int32
	for range 32 {
		wg.Go(func() {
			rs, err := b.Append(t.Context(), []inbox.Message{Sample("bob", 1)})
			switch {
			case err != nil || rs[0].Position != 1:
				t.Errorf("%v %v", rs, err)
			case errors.Is(rs[0].Err, inbox.ErrDuplicate):
				duplicate.Add(1)
			case rs[0].Err == nil:
				kept.Add(1)
			}
		})
	}
	wg.Wait()
	if kept.Load() != 1 || duplicate.Load() != 31 {
		t.Errorf("%d kept, %d duplicates", kept.Load(), duplicate.Load())
	}
}
