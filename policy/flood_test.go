package policy_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/policy/signature"
)

// However many strangers there are, they hold half of the places, and one who is known has another at once.
func TestStrangersLeavePlacesToTheKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known, strangers := policy.NewLanes(4, 100)
		gate := make(chan struct{})
		var wg sync.WaitGroup
		var mu sync.Mutex
		running := 0
		for range 50 {
			wg.Go(func() {
				_ = strangers(t.Context(), func() error {
					mu.Lock()
					running++
					mu.Unlock()
					<-gate
					return nil
				})
			})
		}
		synctest.Wait()
		if running != 2 {
			t.Errorf("%d strangers at once, want 2", running)
		}
		begin := time.Now()
		if err := known(t.Context(), func() error { return nil }); err != nil || time.Since(begin) != 0 {
			t.Errorf("one who is known: %v after %v", err, time.Since(begin))
		}
		close(gate)
		wg.Wait()
		if running != 50 {
			t.Errorf("%d strangers were served", running)
		}
	})
}

// With one verifier, as on two processors, a known one does not wait for the stranger in it, and has one place.
func TestTheOnlyVerifierIsNotTheStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known, strangers := policy.NewLanes(1, 100)
		gate := make(chan struct{})
		waits := func() error { <-gate; return nil }
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { _ = strangers(t.Context(), waits) })
		}
		synctest.Wait()
		begin := time.Now()
		if err := known(t.Context(), func() error { return nil }); err != nil || time.Since(begin) != 0 {
			t.Errorf("one who is known: %v after %v", err, time.Since(begin))
		}
		running := 0
		for range 3 {
			wg.Go(func() { _ = known(t.Context(), func() error { running++; return waits() }) })
		}
		synctest.Wait()
		if running != 1 {
			t.Errorf("%d who are known at once", running)
		}
		close(gate)
		wg.Wait()
	})
}

// BenchmarkHonestUnderFlood measures what a peer whose signatures hold waits while others send signatures that do
// not, from ever new addresses, each as soon as the one before is answered.
func BenchmarkHonestUnderFlood(b *testing.B) {
	for name, floods := range map[string]int{"idle": 0, "flood": 64} {
		b.Run(name, func(b *testing.B) {
			p := newPeer(b)
			h := newHouse(b, nil, func(o *policy.Options) { o.SignedRequests = ratelimit.Rate{Max: 1 << 30, Every: time.Minute} })
			bad := h.arrival(b, p.actor()+"#main-key", malloryKey, "")
			ctx, stop := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			for n := range floods {
				wg.Go(func() { flood(ctx, h, bad, byte(n)) })
			}
			honest := h.arrival(b, p.actor()+"#main-key", aliceKey, "")
			var took []time.Duration
			for b.Loop() {
				begin := time.Now()
				if _, err := h.Admit(ctx, honest); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begin))
			}
			stop()
			wg.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(h.count(b, "sealgate_signature_checks_total", "mismatch", signature.Cavage)/b.Elapsed().Seconds(), "bad/s")
		})
	}
}

func flood(ctx context.Context, h house, bad policy.Arrival, n byte) {
	for i := 0; ctx.Err() == nil; i++ {
		a := bad
		a.Client = netip.AddrFrom4([4]byte{10, n, byte(i >> 8), byte(i)})
		if _, err := h.Admit(ctx, a); err == nil {
			panic("a bad signature was admitted")
		} else if errors.Is(err, policy.ErrBusy) {
			continue
		}
	}
}
