package ratelimit_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sealgate/sealgate/policy/ratelimit"
)

func at(d time.Duration) time.Time { return time.Unix(1_700_000_000, 0).Add(d) }

func tenPerMinute(keys int) *ratelimit.Limiter {
	return ratelimit.New(ratelimit.Options{Rate: ratelimit.Rate{Max: 10, Every: time.Minute}, Keys: keys})
}

func TestBurstThenExactRetryAfter(t *testing.T) {
	l := tenPerMinute(0)
	k := l.Of("198.51.100.7")
	for i := range 10 {
		if w := l.Take(k, at(0)); w != 0 {
			t.Fatalf("event %d: wait %v, want none", i+1, w)
		}
	}
	if w := l.Take(k, at(0)); w != 6*time.Second {
		t.Fatalf("eleventh: wait %v, want 6s", w)
	}
	if w := l.Take(k, at(6*time.Second-1)); w != 1 {
		t.Fatalf("one nanosecond early: wait %v, want 1ns", w)
	}
	if w := l.Take(k, at(6*time.Second)); w != 0 {
		t.Fatalf("after the announced wait: wait %v, want none", w)
	}
	if w := l.Take(k, at(6*time.Second)); w != 6*time.Second {
		t.Fatalf("only one was refilled: wait %v, want 6s", w)
	}
}

func TestARefusedEventCostsNothing(t *testing.T) {
	l := tenPerMinute(0)
	k := l.Of("a")
	for range 1000 {
		l.Take(k, at(0))
	}
	if w := l.Take(k, at(6*time.Second)); w != 0 {
		t.Fatalf("wait %v: refused events were charged", w)
	}
}

func TestWaitCountsNothing(t *testing.T) {
	l := tenPerMinute(0)
	k := l.Of("a")
	for range 100 {
		if w := l.Wait(k, at(0)); w != 0 {
			t.Fatalf("wait %v", w)
		}
	}
	for range 10 {
		l.Take(k, at(0))
	}
	if got, want := l.Wait(k, at(time.Second)), 5*time.Second; got != want {
		t.Fatalf("wait %v, want %v", got, want)
	}
}

func TestIPv6CountsPerPrefixAndIPv4PerAddress(t *testing.T) {
	l := tenPerMinute(0)
	same := func(a, b string) bool {
		return l.OfAddr(netip.MustParseAddr(a)) == l.OfAddr(netip.MustParseAddr(b))
	}
	if !same("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff") {
		t.Error("two addresses of one /64 are counted apart")
	}
	if same("2001:db8:1:2::1", "2001:db8:1:3::1") {
		t.Error("two /64s are counted as one")
	}
	if same("198.51.100.1", "198.51.100.2") {
		t.Error("two IPv4 addresses are counted as one")
	}
	if !same("::ffff:198.51.100.1", "198.51.100.1") {
		t.Error("a mapped address is counted apart from itself")
	}
	if !same("fe80::1%eth0", "fe80::1%eth1") {
		t.Error("a zone makes a new key")
	}
	l.OfAddr(netip.Addr{}) // no address at all is a key like any other
}

func TestTheKeyNearestToFullGivesWay(t *testing.T) {
	l := tenPerMinute(8) // one bucket of eight slots
	spent := l.Of("spent")
	for range 10 {
		l.Take(spent, at(0))
	}
	for i := range 7 {
		l.Take(l.Of(fmt.Sprint("light ", i)), at(0))
	}
	if n := l.Evictions(); n != 0 {
		t.Fatalf("%d evictions in a table with room", n)
	}
	for i := range 100 {
		l.Take(l.Of(fmt.Sprint("flood ", i)), at(0))
	}
	if w := l.Take(spent, at(0)); w != 6*time.Second {
		t.Fatalf("the spent key was forgotten: wait %v", w)
	}
	if n := l.Evictions(); n != 100 {
		t.Fatalf("%d live evictions counted, want 100", n)
	}
	l.Take(l.Of("later"), at(time.Hour))
	if n := l.Evictions(); n != 100 {
		t.Fatalf("taking the slot of a key that is full again counted as a live eviction")
	}
}

func TestTenMillionKeysDoNotGrowMemory(t *testing.T) {
	l := tenPerMinute(1 << 16)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	name := []byte("attacker 00000000")
	for i := range 10_000_000 {
		for j, n := len(name)-1, i; j >= len(name)-8; j, n = j-1, n/10 {
			name[j] = byte('0' + n%10)
		}
		l.Take(l.Of(string(name)), at(time.Duration(i)))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<10 {
		t.Fatalf("the heap grew by %d bytes", grown)
	}
	if l.Evictions() == 0 {
		t.Fatal("ten million keys in 65,536 slots and no eviction counted")
	}
}

func TestConcurrentTakesGrantExactlyTheAllowance(t *testing.T) {
	l := ratelimit.New(ratelimit.Options{Rate: ratelimit.Rate{Max: 100, Every: time.Hour}})
	k := l.Of("one")
	var granted atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				if l.Take(k, at(0)) == 0 {
					granted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := granted.Load(); n != 100 {
		t.Fatalf("granted %d, want 100", n)
	}
}

// The model is the definition: a bucket of Burst tokens, refilled one per
// emission interval, counted in whole nanoseconds.
func TestAgainstTokenBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := ratelimit.Rate{
			Max:   rapid.IntRange(1, 20).Draw(t, "max"),
			Every: time.Duration(rapid.Int64Range(20, int64(time.Hour)).Draw(t, "every")),
			Burst: rapid.IntRange(1, 30).Draw(t, "burst"),
		}
		l := ratelimit.New(ratelimit.Options{Rate: r})
		k := l.Of("k")
		cost := int64(r.Every) / int64(r.Max)
		level, now, last := cost*int64(r.Burst), int64(0), int64(0)
		for range 50 {
			now += rapid.Int64Range(0, 2*cost).Draw(t, "step")
			level, last = min(level+now-last, cost*int64(r.Burst)), now
			want := time.Duration(max(cost-level, 0))
			if got := l.Wait(k, at(time.Duration(now))); got != want {
				t.Fatalf("Wait %v, want %v", got, want)
			}
			if got := l.Take(k, at(time.Duration(now))); got != want {
				t.Fatalf("Take %v, want %v", got, want)
			}
			if want == 0 {
				level -= cost
			}
		}
	})
}

func TestNothingIsAllocated(t *testing.T) {
	l := tenPerMinute(64)
	a := netip.MustParseAddr("2001:db8::1")
	now, n := at(0), 0
	if allocs := testing.AllocsPerRun(1000, func() {
		n++
		l.Take(l.OfAddr(a), now)
		l.Wait(l.Of("https://peer.example/users/someone"), now.Add(time.Duration(n)))
	}); allocs != 0 {
		t.Fatalf("%v allocations per event", allocs)
	}
}

func BenchmarkTake(b *testing.B) {
	l := ratelimit.New(ratelimit.Options{Rate: ratelimit.Rate{Max: 1000, Every: time.Second}})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		now := at(0)
		a := netip.MustParseAddr("198.51.100.7")
		for pb.Next() {
			now = now.Add(time.Microsecond)
			l.Take(l.OfAddr(a), now)
			a = a.Next()
		}
	})
}
