package relay

import (
	"cmp"
	"slices"
	"sync"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/metric"
)

// What one gateway and one person may have open, unless Options say otherwise.
const (
	maxStreams         = 20_000
	maxStreamsPerOwner = 32
)

// streams are the event streams that are open. It is safe for concurrent use.
type streams struct {
	limit, perOwner int

	mu     sync.Mutex
	total  int
	owners map[inbox.Owner][]*stream // oldest first
}

func newStreams(o Options) *streams {
	s := &streams{
		limit: cmp.Or(o.Streams, maxStreams), perOwner: cmp.Or(o.StreamsPerOwner, maxStreamsPerOwner),
		owners: map[inbox.Owner][]*stream{},
	}
	metric.Gauge(o.Metrics, "sealgate_sse_clients", "Event streams that are open.", func() float64 { return float64(s.open()) })
	return s
}

func (s *streams) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

func (s *streams) full() bool { return s.open() >= s.limit }

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
	return true
}

// leave undoes one enter. An evicted stream counts until it has ended.
func (s *streams) leave(one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
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
