package relay

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/metric"
)

// metrics of the public listener. Counters are looked up once per route and
// status, so that an ordinary request allocates nothing for them.
type metrics struct {
	requests *prometheus.CounterVec
	refused  *prometheus.CounterVec
	busy     prometheus.Counter // of refused
	dropped  prometheus.Counter
	tooLarge prometheus.Counter // limit_exceeded_total of mailbox.max_activity

	streamsFull prometheus.Counter // limit_exceeded_total of event streams
	routes      map[route]*routeMetrics
}

type routeMetrics struct {
	seconds prometheus.Observer
	codes   [600]atomic.Pointer[prometheus.Counter]
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		requests: metric.Counter(registry, "sealgate_http_requests_total", "Requests answered, by route and status.", "route", "code"),
		refused:  metric.Counter(registry, "sealgate_refused_total", "Requests the gateway itself refused, by reason.", "reason"),
		dropped: metric.Counter(registry, "sealgate_mls_unaddressed_total",
			"MLS activities answered 202 and dropped, because nobody here was addressed, or nobody who is enrolled.").WithLabelValues(),
		tooLarge:    metric.Exceeded(registry).WithLabelValues("mailbox.max_activity"),
		streamsFull: metric.Exceeded(registry).WithLabelValues("event_streams"),
		routes:      map[route]*routeMetrics{},
	}
	m.busy = m.refused.WithLabelValues(string(reasons[fasthttp.StatusServiceUnavailable]))
	seconds := metric.Register(registry, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "sealgate_http_request_seconds", Help: "Time until the answer's head was ready, by route.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 4, 10),
	}, []string{"route"}))
	for _, name := range []route{
		routeForward, routeStreaming, routeInbox, routeActor, routeMessages, routeKeyPackages, routeKeyPackage,
		routeOwnActor, routeWebFinger, routeOwnInbox, routeRevoke, routePush, routePreflight,
		routeOutbox, routeActivities, routeObjects, routeThread, routeEvents,
		routeAuthorize, routeToken, routeMetadata, routeDevices, routeProxy, routePolicy, routeRequests, routeRequest,
	} {
		m.routes[name] = &routeMetrics{seconds: seconds.WithLabelValues(string(name))}
	}
	return m
}

// request counts one answer.
func (m *metrics) request(name route, status int, took time.Duration) {
	r := m.routes[name]
	r.seconds.Observe(took.Seconds())
	if status < 0 || status >= len(r.codes) {
		status = 0
	}
	c := r.codes[status].Load()
	if c == nil {
		counter := m.requests.WithLabelValues(string(name), strconv.Itoa(status))
		c = &counter
		r.codes[status].Store(c)
	}
	(*c).Inc()
}
