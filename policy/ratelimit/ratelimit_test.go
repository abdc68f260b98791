package ratelimit_test

import (
	"cmp"
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

// TestBurstOfOne: a burst may be less than what comes in a period.
func TestBurstOfOne(t *testing.T) {
	l := ratelimit.New(ratelimit.Options{Rate: ratelimit.Rate{Max: 2, Every: time.Minute, Burst: 1}})
	k := l.Of("a")
	if first, second := l.Take(k, at(0)), l.Take(k, at(0)); first != 0 || second != 30*time.Second {
		t.Errorf("wait %v, then %v, want none, then 30s", first, second)
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

// TestGiveBack: an event that is taken back was never there, and who had none gains none.
func TestGiveBack(t *testing.T) {
	l := tenPerMinute(0)
	k := l.Of("a")
	l.GiveBack(k, at(0))
	for range 10 {
		l.Take(k, at(0))
	}
	l.GiveBack(k, at(0))
	if one, other := l.Take(k, at(0)), l.Take(k, at(0)); one != 0 || other != 6*time.Second {
		t.Errorf("wait %v, then %v, want none, then 6s", one, other)
	}
	late := at(time.Hour)
	l.Take(k, late)
	l.GiveBack(k, late)
	for range 10 {
		if w := l.Take(k, late); w != 0 {
			t.Errorf("wait %v", w)
		}
	}
	if w := l.Take(k, late); w != 6*time.Second {
		t.Errorf("one more than all: wait %v, want 6s", w)
	}
}

// TestClockIsSetBack: nobody is shut out until the clock is where it was.
func TestClockIsSetBack(t *testing.T) {
	for _, count := range []func(*ratelimit.Limiter, ratelimit.Key, time.Time) time.Duration{(*ratelimit.Limiter).Take, (*ratelimit.Limiter).Wait} {
		l := tenPerMinute(0)
		k := l.Of("a")
		f := func(want time.Duration, now time.Duration) {
			t.Helper()
			if got := count(l, k, at(now)); got != want {
				t.Errorf("wait %v, want %v", got, want)
			}
		}
		for range 10 {
			l.Take(k, at(0))
		}
		f(6*time.Second, -time.Second) // a little: as if it stood still
		f(1, 5*time.Second-1)
		f(6*time.Second, -61*time.Second)
		f(0, -10*time.Hour) // far: it is forgiven
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
	for i := range 100 {
		l.Take(l.Of(fmt.Sprint("flood ", i)), at(0))
	}
	if w := l.Take(spent, at(0)); w != 6*time.Second {
		t.Fatalf("the spent key was forgotten: wait %v", w)
	}
	if n := l.Forgotten(); n != 100 {
		t.Errorf("%d have given way while they owed something, want 100", n)
	}
	for i := range 100 { // nobody owes anything any more, but for those who come now
		l.Take(l.Of(fmt.Sprint("late ", i)), at(time.Hour+time.Duration(i)*time.Minute))
	}
	if n := l.At(ratelimit.Rate{Max: 1, Every: time.Hour}, at(0)).Forgotten(); n != 100 {
		t.Errorf("%d after those who owed nothing gave way, want 100", n)
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
}

// What a key has had it has had, whatever the new rate.
func TestAnotherRateForgivesNobody(t *testing.T) {
	for _, r := range []ratelimit.Rate{{Max: 10, Every: time.Minute}, {Max: 20, Every: 2 * time.Hour}, {Max: 6, Every: time.Second}, {Max: 2, Every: time.Hour, Burst: 7}, {Max: 3, Every: 24 * time.Hour}} {
		l := tenPerMinute(64)
		for range 5 {
			l.Take(l.Of("a"), at(0))
		}
		next := l.At(r, at(0))
		room := cmp.Or(r.Burst, r.Max)
		left := 0
		for next.Take(next.Of("a"), at(0)) == 0 {
			left++
		}
		if left != max(room-5, 0) {
			t.Errorf("%+v: %d left of %d after 5", r, left, room)
		}
		if next.Wait(next.Of("b"), at(0)) != 0 {
			t.Errorf("%+v: another key pays", r)
		}
	}
}

func TestKeysOfSeveralParts(t *testing.T) {
	l := tenPerMinute(0)
	seen := map[ratelimit.Key]bool{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"ab"}, {"a", "b"}, {"b", "a"}, {"ab", ""}, {"", "ab"}} {
		if k := l.OfAll(parts...); seen[k] {
			t.Errorf("%q has the key of another", parts)
		} else {
			seen[k] = true
		}
	}
}

// The error of the table, whose figures are in docs/policy.md: how many of the keys that owe something it forgets
// when so many of them owe at once. Nobody is ever taken for another.
func TestTheErrorOfTheTable(t *testing.T) {
	for _, c := range []struct{ live, most int }{{8_192, 1}, {16_384, 5}, {32_768, 60}, {49_152, 200}, {65_536, 300}} { // most: per thousand
		l := tenPerMinute(1 << 16)
		for i := range c.live {
			l.Take(l.Of(fmt.Sprint(i)), at(0))
		}
		kept := 0
		for i := range c.live {
			k := l.Of(fmt.Sprint(i))
			n := 0
			for l.Take(k, at(0)) == 0 {
				n++
			}
			if n == 9 {
				kept++
			} else if n != 10 {
				t.Fatalf("a key was granted %d more", n)
			}
		}
		if forgotten := c.live - kept; forgotten*1000 > c.most*c.live {
			t.Errorf("of %d keys %d were forgotten", c.live, forgotten)
		} else {
			t.Logf("of %d keys %d were forgotten: %.2f %%", c.live, forgotten, 100*float64(forgotten)/float64(c.live))
		}
	}
}

// A million attackers with one event each do not make the table forget one that has spent everything.
func TestCheapKeysDoNotPushOutSpentOnes(t *testing.T) {
	l := tenPerMinute(1 << 16)
	for i := range 1000 {
		for range 10 {
			l.Take(l.Of(fmt.Sprint("spent ", i)), at(0))
		}
	}
	for i := range 1_000_000 {
		l.Take(l.Of(fmt.Sprint("attacker ", i)), at(time.Second))
	}
	for i := range 1000 {
		if l.Wait(l.Of(fmt.Sprint("spent ", i)), at(time.Second)) == 0 {
			t.Fatalf("%d was forgotten", i)
		}
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
