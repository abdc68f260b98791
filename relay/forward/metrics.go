package forward

import (
	"errors"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// counter returns the counter family called name, the registered one if somebody was first.
func counter(r prometheus.Registerer, name, help, label string) *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "sealgate", Name: name, Help: help}, []string{label})
	if r == nil {
		return v
	}
	var already prometheus.AlreadyRegisteredError
	if err := r.Register(v); errors.As(err, &already) {
		if old, ok := already.ExistingCollector.(*prometheus.CounterVec); ok {
			return old
		}
	}
	return v
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
