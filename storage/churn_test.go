package storage_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

const (
	churnRounds = 20
	churnLive   = 80 << 20
	churnSize   = 32 << 10
)

// BenchmarkChurn replaces 80 MiB of live messages twenty times and says how much disk is used after each round, at
// most and in the end, as a multiple of what is live; and the process's memory at most:
//
//	go test -run '^$' -bench Churn -benchtime 1x ./storage
func BenchmarkChurn(b *testing.B) {
	for b.Loop() {
		clock := inboxtest.NewClock()
		o := options(b.TempDir())
		o.Clock, o.Retention, o.Quota = clock.Now, 30*time.Hour, 1<<40
		s, err := storage.Open(o)
		if err != nil {
			b.Fatal(err)
		}
		const spans = 30 // a bucket each, so that one round's messages expire while the next one's come
		worst, last, memory, n := 0.0, 0.0, int64(0), 0
		body := make([]byte, churnSize)
		for round := range churnRounds {
			for range spans {
				var ms []inbox.Message
				for range churnLive / churnSize / spans {
					rand.Read(body)
					m := inboxtest.Sample(inbox.Owner(strconv.Itoa(n%50)), n)
					m.Activity = append([]byte(nil), body...)
					ms, n = append(ms, m), n+1
				}
				if _, err := s.Append(b.Context(), ms); err != nil {
					b.Fatal(err)
				}
				clock.Advance(time.Hour)
				if err := s.Sweep(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			used := float64(diskUse(b, o.Path)) / churnLive
			memory = max(memory, resident(b))
			b.Logf("round %d: %.2f times the live size on disk, %d MiB resident", round+1, used, resident(b)>>20)
			worst, last = max(worst, used), used
		}
		s.WaitIdle()
		b.ReportMetric(worst, "worst/live")
		b.ReportMetric(last, "last/live")
		b.ReportMetric(float64(diskUse(b, o.Path))/churnLive, "idle/live")
		b.ReportMetric(float64(memory>>20), "MiB-resident")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMillionMessages says how long a store with a million messages takes to open, and what the process needs
// then, at rest.
func BenchmarkMillionMessages(b *testing.B) {
	for b.Loop() {
		o := options(b.TempDir())
		o.Quota = 1 << 40
		s, err := storage.Open(o)
		if err != nil {
			b.Fatal(err)
		}
		const million, together = 1_000_000, 250
		body := []byte(strings.Repeat("x", 300))
		for n := 0; n < million; n += together {
			ms := make([]inbox.Message, together)
			for i := range ms {
				ms[i] = inboxtest.Sample(inbox.Owner(fmt.Sprint((n+i)%10_000)), n+i)
				ms[i].Activity = body
			}
			if _, err := s.Append(b.Context(), ms); err != nil {
				b.Fatal(err)
			}
		}
		loaded := resident(b)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if s, err = storage.Open(o); err != nil {
			b.Fatal(err)
		}
		if u, err := s.Usage(b.Context(), "77"); err != nil || u.Total != million/10_000 {
			b.Errorf("%+v, %v", u, err)
		}
		b.ReportMetric(float64(time.Since(begin).Milliseconds()), "open-ms")
		b.ReportMetric(float64(diskUse(b, o.Path)>>20), "MiB-disk")
		b.ReportMetric(float64(loaded>>20), "MiB-loading")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// resident is the memory of this process that is not the page cache's: anonymous pages.
func resident(b *testing.B) int64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib << 10
		}
	}
	b.Skip("no RssAnon in /proc/self/status")
	return 0
}
