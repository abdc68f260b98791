package outbox

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/metric"
)

type metrics struct{ deliveries *prometheus.CounterVec }

func newMetrics(r prometheus.Registerer, queue *scheduler) *metrics {
	metric.Gauge(r, "sealgate_delivery_queue", "Deliveries to other servers that are still to be made.",
		func() float64 { return float64(queue.size()) })
	metric.Gauge(r, "sealgate_delivery_oldest_seconds", "Age of the oldest delivery that failed and waits for its next try.", queue.oldest)
	metric.Gauge(r, "sealgate_deliveries_active", "Deliveries to other servers that are being made, 128 at most.",
		func() float64 { return float64(queue.underWay()) })
	return &metrics{deliveries: metric.Counter(r, "sealgate_deliveries_total",
		"Tries to deliver to other servers, by result: delivered, retried, given_up.", "result")}
}
