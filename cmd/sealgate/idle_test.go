package main

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// TestMemoryIsGivenBack: garbage and free memory go back to the system when there is little to do.
func TestMemoryIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waste(128 << 20)
		before := readMemory()
		if before.spare < 64<<20 {
			t.Fatalf("only %d MiB to give back", before.spare>>20)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- giveBack(ctx) }()
		<-time.After(idleEvery + 1)
		synctest.Wait()
		if now := readMemory(); now.spare > before.spare/4 {
			t.Errorf("of %d MiB there are %d left", before.spare>>20, now.spare>>20)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// waste leaves so many bytes free that the system has not got back.
func waste(bytes int) {
	var held [][]byte
	for range bytes >> 20 {
		held = append(held, make([]byte, 1<<20))
	}
	runtime.KeepAlive(held)
	runtime.GC()
}

func TestIdle(t *testing.T) {
	f := func(want bool, since, now memory) {
		t.Helper()
		if got := now.isIdle(since); got != want {
			t.Errorf("from %+v to %+v: %v", since, now, got)
		}
	}
	f(true, memory{allocated: 100 << 20}, memory{allocated: 101 << 20, spare: 50 << 20})
	f(false, memory{allocated: 100 << 20}, memory{allocated: 101 << 20, spare: 1 << 20})
	f(false, memory{allocated: 100 << 20}, memory{allocated: 120 << 20, spare: 50 << 20})
}
