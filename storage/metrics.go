package storage

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/inbox"
)

type metrics struct {
	appends *prometheus.CounterVec
	seconds prometheus.Histogram
	bytes   prometheus.GaugeFunc

	conflicts prometheus.Counter
	keys      *keyTally
}

func newMetrics(r prometheus.Registerer, s *Store) (*metrics, error) {
	m := &metrics{
		appends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sealgate_mailbox_appends_total",
			Help: "Messages offered to mailboxes by result: stored, duplicate, full, unavailable.",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "sealgate_mailbox_append_seconds",
			Help:    "Time until appended messages were synced.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
		bytes: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "sealgate_mailbox_bytes",
			Help: "Bytes of activities kept in all mailboxes.",
		}, func() float64 { return float64(s.buckets.live(s.now())) }),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "sealgate_epoch_conflicts_total",
			Help: "Commits for an epoch of a group that had one already, where one of the two is from here.",
		}),
		keys: newKeyTally(s),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(m.appends), r.Register(m.seconds), r.Register(m.bytes), r.Register(m.conflicts), r.Register(m.keys))
}

// unregister lets another Store take the names.
func (m *metrics) unregister(r prometheus.Registerer) {
	if r == nil {
		return
	}
	r.Unregister(m.appends)
	r.Unregister(m.seconds)
	r.Unregister(m.bytes)
	r.Unregister(m.conflicts)
	r.Unregister(m.keys)
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
