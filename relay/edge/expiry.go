package edge

import (
	"crypto/x509"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/metric"
)

// EndsSoon reports whether somebody should see to a certificate now: it has a week left, or the last sixth of a short life.
func EndsSoon(leaf *x509.Certificate, now time.Time) bool {
	const week = 7 * 24 * time.Hour
	return leaf.NotAfter.Sub(now) < min(week, leaf.NotAfter.Sub(leaf.NotBefore)/6)
}

// expiry says once a day that what clients are shown ends soon, and when it has ended.
type expiry struct {
	shown func() *x509.Certificate // nil: none yet
	cure  string
	log   *slog.Logger
	next  time.Time
}

func newExpiry(r prometheus.Registerer, log *slog.Logger, cure string, shown func() *x509.Certificate) *expiry {
	metric.Gauge(r, "sealgate_certificate_end_timestamp_seconds", "When the TLS certificate ends, in Unix time; 0: there is none yet.", func() float64 {
		if leaf := shown(); leaf != nil {
			return float64(leaf.NotAfter.Unix())
		}
		return 0
	})
	return &expiry{shown: shown, cure: cure, log: log}
}

func (e *expiry) look(now time.Time) {
	leaf := e.shown()
	if leaf == nil || now.Before(e.next) || !EndsSoon(leaf, now) {
		return
	}
	e.next = now.Add(24 * time.Hour)
	end := leaf.NotAfter
	if now.After(end) {
		e.log.Error("certificate has expired", "not_after", end, "cure", e.cure)
		return
	}
	if end.Before(e.next) {
		e.next = end
	}
	e.log.Warn("certificate ends soon", "not_after", end, "cure", e.cure)
}
