package inbox

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

func newMessages() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sealgate_mls_messages_total",
		Help: "MLS messages by direction and kind, one per mailbox; duplicates are not counted again.",
	}, []string{"direction", "kind"})
}

func newRequests() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "sealgate_message_requests_total",
		Help: "Message requests by what became of them: opened, accepted, dropped, expired, evicted, overflown.",
	}, []string{"event"})
}

// registered shares the counter with whoever registered it first: the outgoing
// direction is counted elsewhere under the same name.
func registered(r prometheus.Registerer, c *prometheus.CounterVec) *prometheus.CounterVec {
	err := r.Register(c)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if shared, ok := already.ExistingCollector.(*prometheus.CounterVec); ok {
			return shared
		}
	}
	if err != nil {
		panic("bug: a counter of inbox's is registered as something else: " + err.Error())
	}
	return c
}

func (in *Inbox) count(kind string, results []Result) {
	if kind == "" {
		kind = "none"
	}
	for _, r := range results {
		if r.Err == nil && r.Delivered() {
			in.messages.WithLabelValues("in", kind).Inc()
		}
		if r.Request != "" {
			in.requests.WithLabelValues("opened").Inc()
		}
		in.requests.WithLabelValues("expired").Add(float64(r.Expired))
		in.requests.WithLabelValues("evicted").Add(float64(r.Evicted))
		in.requests.WithLabelValues("overflown").Add(float64(r.Overflown))
	}
}
