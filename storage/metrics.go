package storage

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/metric"
)

type metrics struct {
	appends   *prometheus.CounterVec
	seconds   prometheus.Histogram
	conflicts prometheus.Counter
	keys      *keyTally

	own []prometheus.Collector // what shows this one Store
}

func newMetrics(r prometheus.Registerer, s *Store) (*metrics, error) {
	m := &metrics{
		appends: metric.Counter(r, "sealgate_mailbox_appends_total",
			"Messages offered to mailboxes by result: stored, duplicate, full, unavailable.", "result"),
		seconds: metric.Register(r, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "sealgate_mailbox_append_seconds",
			Help:    "Time until appended messages were synced.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		})),
		conflicts: metric.Counter(r, "sealgate_epoch_conflicts_total",
			"Commits for an epoch of a group that had one already, where one of the two is from here.").WithLabelValues(),
		keys: newKeyTally(s),
	}
	bytes := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sealgate_mailbox_bytes",
		Help: "Bytes of activities kept in all mailboxes.",
	}, func() float64 { return float64(s.buckets.live(s.now())) })
	damaged := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sealgate_store_damaged",
		Help: "1 when a block of the store is not what it was.",
	}, func() float64 {
		if s.harm.Load() != nil {
			return 1
		}
		return 0
	})
	m.own = []prometheus.Collector{bytes, damaged, m.keys}
	return m, m.register(r)
}

func (m *metrics) register(r prometheus.Registerer) (err error) {
	if r == nil {
		return nil
	}
	for _, c := range m.own {
		err = errors.Join(err, r.Register(c))
	}
	return err
}

// unregister lets another Store take the names.
func (m *metrics) unregister(r prometheus.Registerer) {
	if r == nil {
		return
	}
	for _, c := range m.own {
		r.Unregister(c)
	}
}

func (m *metrics) appended(results []inbox.Result, took time.Duration) {
	m.seconds.Observe(took.Seconds())
	for _, r := range results {
		m.appends.WithLabelValues(resultLabel(r.Err)).Inc()
	}
}

func (m *metrics) unavailable(n int) {
	m.appends.WithLabelValues("unavailable").Add(float64(n))
}

func resultLabel(err error) string {
	switch {
	case err == nil:
		return "stored"
	case errors.Is(err, inbox.ErrDuplicate):
		return "duplicate"
	case errors.Is(err, inbox.ErrFull):
		return "full"
	default:
		return "unavailable"
	}
}
