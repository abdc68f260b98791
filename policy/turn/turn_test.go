package turn_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sealgate/sealgate/policy/turn"
)

func TestATurnIsKeptUntilItIsGivenUp(t *testing.T) {
	var ended atomic.Int32
	end := func() { ended.Add(1) }
	plain := t.Context()
	if turn.Held(plain) || turn.Keep(plain, end) {
		t.Error("a context that keeps nothing kept a turn")
	}
	turn.GiveUp(plain)
	ctx, cancel := context.WithCancel(turn.Keeping(plain))
	defer cancel()
	if turn.Held(ctx) {
		t.Error("a turn is held before there was one")
	}
	if !turn.Keep(ctx, end) || !turn.Held(ctx) || ended.Load() != 0 {
		t.Error("the turn was not kept")
	}
	if turn.Keep(ctx, end) {
		t.Error("a second one was kept, the first would be lost")
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { turn.GiveUp(ctx) })
	}
	all.Wait()
	if ended.Load() != 1 || turn.Held(ctx) {
		t.Errorf("it ended %d times", ended.Load())
	}
	if turn.Keep(ctx, end) {
		t.Error("one was kept after it was given up for good")
	}
}
