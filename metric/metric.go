// Package metric registers metrics. A nil registry counts for nobody.
package metric

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Counter returns the counter family of a name: the registered one if somebody was first.
func Counter(r prometheus.Registerer, name, help string, labels ...string) *prometheus.CounterVec {
	return Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))
}

// Exceeded is the counter of everything over a limit, by the limit's name.
func Exceeded(r prometheus.Registerer) *prometheus.CounterVec {
	return Counter(r, "sealgate_limit_exceeded_total", "Requests and connections over a limit.", "limit")
}

// Gauge registers a gauge that shows what now returns. Nobody else may have one of that name.
func Gauge(r prometheus.Registerer, name, help string, now func() float64) {
	if r != nil {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, now))
	}
}

// Register registers c, or returns what stands there under its name already.
func Register[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	err := r.Register(c)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if old, ok := already.ExistingCollector.(C); ok {
			return old
		}
	}
	if err != nil {
		panic("bug: a metric is registered as something else: " + err.Error())
	}
	return c
}
