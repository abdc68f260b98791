package storage_test

import (
	"crypto/rand"
	"fmt"
	rng "math/rand/v2"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

const (
	benchWriters = 64
	benchSize    = 4 << 10
)

// BenchmarkAppend: durable appends of 4 KiB from 64 writers. Beside it, in the same
// run and with the same engine options, BenchmarkPlainPut: one synced Badger
// transaction per put.
func BenchmarkAppend(b *testing.B) {
	o := options(b.TempDir())
	o.Quota = 1 << 40
	s, err := storage.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	before := s.Transactions()
	parallel(b, func(n int64, body []byte) error {
		m := inboxtest.Sample(inbox.Owner(fmt.Sprint(n%1000)), int(n))
		m.Activity = body
		_, err := s.Append(b.Context(), []inbox.Message{m})
		return err
	})
	b.ReportMetric(float64(b.N)/float64(s.Transactions()-before), "msgs/txn")
}

func BenchmarkPlainPut(b *testing.B) {
	o := storage.BadgerOptions(options(b.TempDir()))
	o.SyncWrites = true
	db, err := badger.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	parallel(b, func(n int64, body []byte) error {
		return db.Update(func(txn *badger.Txn) error {
			return txn.Set(fmt.Appendf(nil, "m%020d", n), append([]byte(nil), body...))
		})
	})
}

func parallel(b *testing.B, put func(n int64, body []byte) error) {
	body := make([]byte, benchSize)
	rand.Read(body)
	b.SetBytes(benchSize)
	concurrently(b, benchWriters, func(n int64) error { return put(n, body) })
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// BenchmarkAfter reads pages of 50 messages of 4 KiB.
func BenchmarkAfter(b *testing.B) {
	s, err := storage.Open(options(b.TempDir()))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ms := make([]inbox.Message, 2000)
	for i := range ms {
		ms[i] = inboxtest.Sample("bob", i)
		ms[i].Activity = make([]byte, benchSize)
	}
	if _, err := s.Append(b.Context(), ms); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		es, err := s.After(b.Context(), "bob", inbox.Position(i*50%1950), 50)
		if err != nil || len(es) != 50 {
			b.Fatal(len(es), err)
		}
	}
}

// BenchmarkReadOne reads single messages of 4 KiB, and key packages, at random out of a store many times as large as
// its caches: what the size of a block costs. The files are in the page cache.
func BenchmarkReadOne(b *testing.B) {
	const people, each = 1000, 75
	o := options(b.TempDir())
	o.Quota = 1 << 40
	s, err := storage.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for owner := range people {
		ms := make([]inbox.Message, each)
		for i := range ms {
			ms[i] = inboxtest.Sample(inbox.Owner(fmt.Sprint(owner)), i)
			ms[i].Activity = make([]byte, benchSize)
			rand.Read(ms[i].Activity)
		}
		if _, err := s.Append(b.Context(), ms); err != nil {
			b.Fatal(err)
		}
	}
	fillPools(b, s, people)
	s.WaitIdle()
	pools := make([]inbox.Pool, people)
	for i := range pools {
		if pools[i], err = s.Pool(b.Context(), inbox.Owner(fmt.Sprint(i))); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("message", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			es, err := s.After(b.Context(), inbox.Owner(fmt.Sprint(rng.IntN(people))), inbox.Position(rng.IntN(each)), 1)
			if err != nil || len(es) != 1 {
				b.Fatal(len(es), err)
			}
		}
	})
	b.Run("package", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			i := rng.IntN(people)
			id := pools[i].Packages[rng.IntN(packagesEach)].ID
			if _, err := s.Content(b.Context(), inbox.Owner(fmt.Sprint(i)), id); err != nil {
				b.Fatal(err)
			}
		}
	})
}
