package relay

import (
	"cmp"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/inbox"
)

// What one gateway and one person may have open, unless Options say otherwise.
const (
	maxStreams         = 20_000
	maxStreamsPerOwner = 32
)

// streams are the event streams that are open. It is safe for concurrent use.
type streams struct {
	limit, perOwner int
	clients         prometheus.Gauge // sse_clients

	mu     sync.Mutex
	total  int
	owners map[inbox.Owner][]*stream // oldest first
}

func newStreams(o Options) *streams {
	s := &streams{
		limit: cmp.Or(o.Streams, maxStreams), perOwner: cmp.Or(o.StreamsPerOwner, maxStreamsPerOwner),
		owners: map[inbox.Owner][]*stream{},
		clients: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "sealgate_sse_clients", Help: "Event streams that are open.",
		}),
	}
	if o.Metrics != nil {
		o.Metrics.MustRegister(s.clients)
	}
	return s
}

func (s *streams) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total >= s.limit
}

// enter counts a stream unless there are too many. A person's oldest makes room
// for their newest: a phone that lost its connections is never locked out.
func (s *streams) enter(one *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total >= s.limit {
		return false
	}
	mine := s.owners[one.box.owner]
	if len(mine) >= s.perOwner {
		close(mine[0].evicted)
		mine = slices.Delete(mine, 0, 1)
	}
	s.owners[one.box.owner] = append(mine, one)
	s.total++
	s.clients.Inc()
	return true
}

// leave undoes one enter. An evicted stream counts until it has ended.
func (s *streams) leave(one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	s.clients.Dec()
	mine := s.owners[one.box.owner]
	if i := slices.Index(mine, one); i >= 0 {
		mine = slices.Delete(mine, i, i+1)
	}
	if len(mine) == 0 {
		delete(s.owners, one.box.owner)
		return
	}
	s.owners[one.box.owner] = mine
}
