// Package turn lets who computes for a while keep the place that was found for the first part of it. However many messages come, few
// are worked on at once: all others that were ready would stand before the threads that serve clients, which must find a place in Go's
// scheduler at once.
package turn

import (
	"context"
	"sync"
)

type key struct{}

// turn is a place in some queue's front, while there is one.
type turn struct {
	mu   sync.Mutex
	end  func() // nil: none is held
	over bool   // none is kept any more
}

func of(ctx context.Context) *turn {
	t, _ := ctx.Value(key{}).(*turn)
	return t
}

// Keeping returns a context with which the turn that somebody finds for its bearer is kept until GiveUp.
func Keeping(ctx context.Context) context.Context {
	return context.WithValue(ctx, key{}, new(turn))
}

// Held tells whether the bearer of ctx has a turn.
func Held(ctx context.Context) bool {
	t := of(ctx)
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end != nil
}

// Keep has end called when the turn, which was just found, is given up. False: ctx keeps none.
func Keep(ctx context.Context, end func()) bool {
	t := of(ctx)
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || t.end != nil {
		return false
	}
	t.end = end
	return true
}

// GiveUp ends the turn that ctx keeps, if it does, for good. Whoever is about to wait for somebody else calls it: if they kept theirs, or
// had to have one again, they could hold up whom they wait for. It may be called again, from any goroutine.
func GiveUp(ctx context.Context) {
	t := of(ctx)
	if t == nil {
		return
	}
	t.mu.Lock()
	end := t.end
	t.end, t.over = nil, true
	t.mu.Unlock()
	if end != nil {
		end()
	}
}
