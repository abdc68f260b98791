package policy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/turn"
)

func TestThePoolBoundsWorkAndQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		do := policy.NewPool(2, 3)
		gate := make(chan struct{})
		var running, done, busy atomic.Int64
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				err := do(t.Context(), func() error { running.Add(1); <-gate; done.Add(1); return nil })
				if limit, ok := errors.AsType[*policy.LimitError](err); ok && errors.Is(err, policy.ErrBusy) && limit.RetryAfter > 0 {
					busy.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if running.Load() != 2 || busy.Load() != 5 {
			t.Errorf("%d at once and %d turned away, want 2 and 5", running.Load(), busy.Load())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		close(gate)
		wg.Wait()
		if done.Load() != 5 {
			t.Errorf("%d done, want 5", done.Load())
		}
		if err := do(ctx, func() error { return nil }); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// Who keeps the place has it for all that they do, nobody else meanwhile, and afterwards a place for each part of it.
func TestAPlaceIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		do := policy.NewPool(1, 8)
		nothing := func() error { return nil }
		mine := turn.Keeping(t.Context())
		if err := do(mine, nothing); err != nil {
			t.Fatal(err)
		}
		if err := do(mine, nothing); err != nil {
			t.Fatal(err)
		}
		other := make(chan error, 1)
		go func() { other <- do(t.Context(), nothing) }()
		synctest.Wait()
		select {
		case <-other:
			t.Error("another had the place that was kept")
		default:
		}
		turn.GiveUp(mine)
		synctest.Wait()
		if err := <-other; err != nil {
			t.Error(err)
		}
		if err := do(mine, nothing); err != nil {
			t.Error(err)
		}
		if err := do(t.Context(), nothing); err != nil {
			t.Error(err)
		}
	})
}

func TestWaitingForThePoolEndsWithTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		do := policy.NewPool(1, 8)
		gate := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { _ = do(t.Context(), func() error { <-gate; return nil }) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := do(ctx, func() error { t.Error("ran"); return nil })
		if !errors.Is(err, policy.ErrBusy) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		close(gate)
		wg.Wait()
	})
}

// TestLookupsAreCountedByKey: a client may have 32 keys looked up at once, each as often as it likes.
func TestLookupsAreCountedByKey(t *testing.T) {
	enter, clients := policy.NewLookups()
	var leave []func()
	for range 2 {
		for n := range 32 {
			done, err := enter(1, fmt.Sprint(n))
			if err != nil {
				t.Fatalf("key %d: %v", n, err)
			}
			leave = append(leave, done)
		}
		if _, err := enter(1, "one more"); !errors.Is(err, policy.ErrBusy) {
			t.Errorf("a 33rd key: %v", err)
		}
	}
	for n, done := range leave {
		if done(); n < 32 {
			if _, err := enter(1, "one more"); !errors.Is(err, policy.ErrBusy) {
				t.Errorf("while others still wait: %v", err)
			}
		}
	}
	if n := clients(); n != 0 {
		t.Errorf("%d clients are left", n)
	}
}
