package metric_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/metric"
)

// TestCounter: who asks later counts in the same family; without a registry everybody counts alone.
func TestCounter(t *testing.T) {
	r := prometheus.NewRegistry()
	for range 2 {
		metric.Exceeded(r).WithLabelValues("connections").Inc()
		metric.Exceeded(nil).WithLabelValues("connections").Inc()
	}
	metric.Gauge(r, "now", "What is.", func() float64 { return 7 })
	metric.Gauge(nil, "now", "What is.", nil)
	families, err := r.Gather()
	if err != nil || len(families) != 2 {
		t.Fatalf("%d families, %v", len(families), err)
	}
	if n := families[1].GetMetric()[0].GetCounter().GetValue(); n != 2 {
		t.Errorf("counted %v, want 2", n)
	}
	if n := families[0].GetMetric()[0].GetGauge().GetValue(); n != 7 {
		t.Errorf("it is %v, want 7", n)
	}
}

// TestAnother: a name stands for one thing.
func TestAnother(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("two kinds have one name")
		}
	}()
	r := prometheus.NewRegistry()
	metric.Counter(r, "a", "One.")
	metric.Register(r, prometheus.NewGauge(prometheus.GaugeOpts{Name: "a", Help: "One."}))
}
