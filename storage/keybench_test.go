package storage_test

import (
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

// The benchmarks of the key directory stand beside plain Badger, with the same
// engine options, in the same run:
//
//	go test -run '^$' -bench 'Claim|Publish|Collection|PlainPut|PlainGet' ./storage
const collection = 100

const keyOwner = "https://social.example/users/bob"

// BenchmarkClaim: every claim is of a new requester and reserves, from 64 at once.
// To compare with BenchmarkPlainPut.
func BenchmarkClaim(b *testing.B) { claims(b, benchWriters) }

// BenchmarkClaimAlone: one requester after the other. To compare with
// BenchmarkPlainPutAlone.
func BenchmarkClaimAlone(b *testing.B) { claims(b, 1) }

func claims(b *testing.B, requesters int) {
	var clock atomic.Int64
	clock.Store(time.Now().Unix())
	o := options(b.TempDir())
	o.Clock = func() time.Time { return time.Unix(clock.Load(), 0) }
	s, d := keyBench(b, o)
	people := (b.N+collection-1)/collection + 1
	people = min(people, 200)
	for i := range people {
		inboxtest.Fill(b, d, inbox.Owner(fmt.Sprint(i)), inboxtest.NewClient(keyOwner, o.Clock()), collection)
	}
	before := s.Transactions()
	b.ResetTimer()
	concurrently(b, requesters, func(n int64) error {
		if n%int64(people*collection) == 0 {
			clock.Add(int64(inbox.HoldFor/time.Second) + 1) // all holds are over
		}
		_, err := d.Claim(b.Context(), inbox.Owner(fmt.Sprint(n%int64(people))), inbox.Requester{ID: fmt.Sprint(n)})
		return err
	})
	b.ReportMetric(float64(b.N)/float64(max(1, s.Transactions()-before)), "claims/txn")
}

// BenchmarkPlainPutAlone: one synced transaction after the other.
func BenchmarkPlainPutAlone(b *testing.B) {
	db := plain(b)
	body := make([]byte, 256)
	rand.Read(body)
	concurrently(b, 1, func(n int64) error {
		return db.Update(func(txn *badger.Txn) error { return txn.Set(fmt.Appendf(nil, "m%020d", n), body) })
	})
}

// BenchmarkPublish: upload of one package with both signatures verified, from 64 at
// once.
func BenchmarkPublish(b *testing.B) {
	s, d := keyBench(b, options(b.TempDir()))
	_ = s
	var us []inbox.Upload
	for range b.N {
		us = append(us, inbox.Upload{
			ID: inbox.NewID(), Package: inboxtest.NewClient(keyOwner, time.Now()).Package(), Content: make([]byte, 1000), Public: true,
		})
	}
	concurrently(b, benchWriters, func(n int64) error {
		o := inbox.Owner(fmt.Sprint(n % max(1, int64(b.N/40))))
		_, err := d.Publish(b.Context(), inbox.Publication{Owner: o, Actor: keyOwner, Activity: "a", Uploads: us[n-1 : n]})
		return err
	})
}

// BenchmarkCollection: what an anonymous reader costs, 100 packages. To compare
// with BenchmarkPlainGet.
func BenchmarkCollection(b *testing.B) {
	_, d := keyBench(b, options(b.TempDir()))
	inboxtest.Fill(b, d, "bob", inboxtest.NewClient(keyOwner, time.Now()), collection)
	b.ReportAllocs()
	for b.Loop() {
		pool, err := d.Pool(b.Context(), "bob")
		if err != nil || len(pool.Open(time.Now())) != collection {
			b.Fatal(len(pool.Packages), err)
		}
	}
}

// BenchmarkPlainGet: 100 gets of rows as large.
func BenchmarkPlainGet(b *testing.B) {
	db := plain(b)
	err := db.Update(func(txn *badger.Txn) error {
		for i := range collection {
			if err := txn.Set(fmt.Appendf(nil, "m%038d", i), make([]byte, 200)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		err := db.View(func(txn *badger.Txn) error {
			for i := range collection {
				item, err := txn.Get(fmt.Appendf(nil, "m%038d", i))
				if err != nil {
					return err
				}
				if _, err := item.ValueCopy(nil); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func keyBench(b *testing.B, o storage.Options) (*storage.Store, *inbox.Directory) {
	b.Helper()
	s, err := storage.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	clock := o.Clock
	if clock == nil {
		clock = time.Now
	}
	return s, inboxtest.NewDirectory(s, clock)
}

func plain(b *testing.B) *badger.DB {
	b.Helper()
	o := storage.BadgerOptions(options(b.TempDir()))
	o.SyncWrites = true
	db, err := badger.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	return db
}

func concurrently(b *testing.B, workers int, f func(n int64) error) {
	b.Helper()
	var n atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range workers {
		wg.Go(func() {
			for i := n.Add(1); i <= int64(b.N); i = n.Add(1) {
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}
