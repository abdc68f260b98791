package relay

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// However many come, few are looked at at once, and all of them are.
func TestDeskHasFewClerks(t *testing.T) {
	d := newDesk()
	var now, most, done atomic.Int32
	var all sync.WaitGroup
	const each = 500 // together fewer than may wait
	look := func() {
		defer all.Done()
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			runtime.Gosched()
		}
		now.Add(-1)
		done.Add(1)
	}
	all.Add(8 * each)
	for range 8 {
		go func() {
			for range each {
				d.start(look)
			}
		}()
	}
	all.Wait()
	if done.Load() != 8*each || int(most.Load()) > cap(d.clerks) {
		t.Errorf("%d were looked at, want %d; %d at once, want at most %d", done.Load(), 8*each, most.Load(), cap(d.clerks))
	}
}

// What comes when the queue is full is not held up.
func TestDeskOverflow(t *testing.T) {
	d := newDesk()
	d.queue, d.clerks = make(chan func(), 1), make(chan struct{}, 1)
	busy, free := make(chan struct{}), make(chan struct{})
	d.start(func() { close(busy); <-free })
	<-busy
	d.start(func() {}) // waits for its turn
	passed := make(chan struct{})
	d.start(func() { close(passed) })
	<-passed
	close(free)
}
