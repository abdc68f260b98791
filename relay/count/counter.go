package count

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/metric"
)

// Counter is metric.Counter for the family sealgate_name with one label.
func Counter(r prometheus.Registerer, name, help, label string) *prometheus.CounterVec {
	return metric.Counter(r, "sealgate_"+name, help, label)
}

// Exceeded is metric.Exceeded.
func Exceeded(r prometheus.Registerer) *prometheus.CounterVec { return metric.Exceeded(r) }
