package storage_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/mls"
	"github.com/sealgate/sealgate/storage"
)

const (
	millionPeople = 10_000
	packagesEach  = 100
)

// BenchmarkMillion keeps a million packages of ten thousand people, with contents, log and
// traces, and says how much disk they take and how long the store needs to open:
//
//	go test -run '^$' -bench Million -benchtime 1x -timeout 30m ./storage
func BenchmarkMillion(b *testing.B) {
	for b.Loop() {
		o := options(b.TempDir())
		s, err := storage.Open(o)
		if err != nil {
			b.Fatal(err)
		}
		fillPools(b, s, millionPeople)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if s, err = storage.Open(o); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(begin).Milliseconds()), "open-ms")
		b.ReportMetric(float64(diskUse(b, o.Path))/(1<<30), "GiB")
		pool, err := s.Pool(b.Context(), "77")
		if err != nil || len(pool.Packages) != packagesEach {
			b.Errorf("%d packages, %v", len(pool.Packages), err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// fillPools writes what publishing would, but for the mathematics.
func fillPools(b *testing.B, s *storage.Store, people int) {
	b.Helper()
	errs := make(chan error, benchWriters)
	for w := range benchWriters {
		go func() {
			for i := w; i < people; i += benchWriters {
				owner := inbox.Owner(fmt.Sprint(i))
				if err := s.ChangePool(b.Context(), owner, func(c *inbox.Change) error { fillPool(c, owner); return nil }); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range benchWriters {
		if err := <-errs; err != nil {
			b.Fatal(err)
		}
	}
}

func fillPool(c *inbox.Change, owner inbox.Owner) {
	random := func(n int) []byte {
		out := make([]byte, n)
		rand.Read(out)
		return out
	}
	now := time.Now().Truncate(time.Second).UTC()
	until := now.Add(90 * 24 * time.Hour)
	signer := [32]byte(random(32))
	c.Devices = []inbox.Device{{ID: "device", Name: "Phone", Keys: [][]byte{signer[:]}, First: now}}
	c.Contents = map[string][]byte{}
	c.Log.Count = packagesEach
	for n := range uint64(packagesEach) {
		id, ref := inbox.NewID(), random(32)
		c.Packages = append(c.Packages, inbox.Package{
			ID: id, N: n + 1, Activity: inbox.NewID(), Device: "device", Suite: mls.Suite(1), Ref: ref, Signer: signer,
			State: inbox.Listed, Verified: true, Published: now, NotAfter: until, Size: 1300,
		})
		c.Contents[id] = random(1000)
		c.Entries = append(c.Entries, inbox.LogEntry{
			N: n + 1, Time: now, Action: inbox.ActionPublish, Package: id, Device: "device", Suite: mls.Suite(1), Ref: ref,
			SignatureKey: signer, Previous: [32]byte(random(32)), Signature: random(64),
		})
		for range 2 {
			c.Traces = append(c.Traces, inbox.Trace{Name: string(random(36)), Owner: owner, Device: "device", Until: until})
		}
	}
}
