package actorkey

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// counter makes a counter with one label. Several clients may share a registry,
// and then share the counter.
func counter(reg prometheus.Registerer, name, help, label string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	if reg == nil {
		return v
	}
	err := reg.Register(v)
	if err == nil {
		return v
	}
	if are, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if old, ok := are.ExistingCollector.(*prometheus.CounterVec); ok {
			return old
		}
	}
	panic("bug: " + name + " is registered as something else: " + err.Error())
}
