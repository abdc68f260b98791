package count

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Counter returns the counter family sealgate_name with one label, the registered one if somebody was first. A nil
// registry counts for nobody.
func Counter(r prometheus.Registerer, name, help, label string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "sealgate", Name: name, Help: help}, []string{label})
	if r == nil {
		return v
	}
	err := r.Register(v)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if old, ok := already.ExistingCollector.(*prometheus.CounterVec); ok {
			return old
		}
	}
	if err != nil {
		panic("bug: sealgate_" + name + " is registered as something else: " + err.Error())
	}
	return v
}

// Exceeded is the counter of everything over a limit, by the limit's name.
func Exceeded(r prometheus.Registerer) *prometheus.CounterVec {
	return Counter(r, "limit_exceeded_total", "Requests and connections over a limit.", "limit")
}
