package outbox

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct{ deliveries *prometheus.CounterVec }

func newMetrics(registry prometheus.Registerer, queue *scheduler) *metrics {
	m := &metrics{deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sealgate_deliveries_total",
		Help: "Tries to deliver to other servers, by result: delivered, retried, given_up.",
	}, []string{"result"})}
	if registry == nil {
		return m
	}
	registry.MustRegister(m.deliveries, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sealgate_delivery_queue", Help: "Deliveries to other servers that are still to be made.",
	}, func() float64 { return float64(queue.size()) }), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sealgate_delivery_oldest_seconds", Help: "Age of the oldest delivery that failed and waits for its next try.",
	}, queue.oldest), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "sealgate_deliveries_active", Help: "Deliveries to other servers that are being made, 128 at most.",
	}, func() float64 { return float64(queue.underWay()) }))
	return m
}
