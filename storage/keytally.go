package storage

import (
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/inbox"
)

const (
	tallyEvery = 15 * time.Second // at the most; real time
	tallyShare = 100              // counting takes at most one part of so many
)

// keyTally is sealgate_key_packages. States are partly derived from the time, so the
// packages are counted when somebody asks, and not again before counting has become
// one hundredth of the time that passed. It is safe for concurrent use.
type keyTally struct {
	s    *Store
	desc *prometheus.Desc

	mu     sync.Mutex
	counts map[string]int
	next   time.Time
}

func newKeyTally(s *Store) *keyTally {
	return &keyTally{s: s, desc: prometheus.NewDesc("sealgate_key_packages",
		"Valid key packages by state: proposed, listed, reserved, used.", []string{"state"}, nil)}
}

// Describe implements prometheus.Collector.
func (k *keyTally) Describe(ch chan<- *prometheus.Desc) { ch <- k.desc }

// Collect implements prometheus.Collector. Of a store that cannot be read the counts
// are absent rather than old.
func (k *keyTally) Collect(ch chan<- prometheus.Metric) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if begin := time.Now(); !begin.Before(k.next) {
		counts, err := k.s.countPackages()
		if err != nil {
			return // an error here would take all other metrics with it
		}
		k.counts, k.next = counts, begin.Add(max(tallyEvery, tallyShare*time.Since(begin)))
	}
	for state, n := range k.counts {
		ch <- prometheus.MustNewConstMetric(k.desc, prometheus.GaugeValue, float64(n), state)
	}
}

// countPackages scans the rows of all pools.
func (s *Store) countPackages() (map[string]int, error) {
	now := s.now()
	counts := map[string]int{string(inbox.Proposed): 0, string(inbox.Listed): 0, "reserved": 0, string(inbox.Used): 0}
	err := s.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{poolKey}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			if len(it.Item().Key()) == 1+len(hashed{}) {
				continue // a pool's head
			}
			var one inbox.Package
			err := it.Item().Value(func(value []byte) (err error) {
				one, err = decodePackage("", value)
				return err
			})
			if err != nil {
				return err
			}
			if one.Valid(now) {
				counts[tallied(&one, now)]++
			}
		}
		return nil
	})
	return counts, err
}

func tallied(p *inbox.Package, now time.Time) string {
	if p.State == inbox.Listed && p.Held(now) {
		return "reserved"
	}
	return string(p.State)
}
