package oauth_test

import (
	"sync"
	"sync/atomic"
	"testing"
)

// A code raced for buys tokens once, and the losers take them back.
func TestACodeRacedForBuysOnce(t *testing.T) {
	d := newDouble(t)
	code := d.code(t, request())
	var bought atomic.Int32
	var racers sync.WaitGroup
	for range 8 {
		racers.Go(func() {
			if _, err := d.server.Exchange(t.Context(), exchange(code)); err == nil {
				bought.Add(1)
			}
		})
	}
	racers.Wait()
	if bought.Load() != 1 || len(d.devices) != 0 {
		t.Errorf("bought %d times, %d devices left", bought.Load(), len(d.devices))
	}
}
