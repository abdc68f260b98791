package intake

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/mls"
	"github.com/sealgate/sealgate/metric"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
)

// Places bound what is under way between a request and the store, so that memory stays flat and
// whoever is let in is served soon. There is no queue: what finds no place is told at once to come
// again (503), and its sender keeps it.
//
// Contact may fill half. So it is turned away first, and alone as long as groups need less than all. One
// client may fill a quarter of what its class may; more is its own excess (429). What waits for a key to be fetched
// keeps its place, but a quarter of all may be taken so, and of that a quarter for one host: no server that is slow to tell
// its keys can take the places of all others.
//
// It is safe for concurrent use; a nil *Places has room for everything.
type Places struct {
	most int64 // bytes
	shed *prometheus.CounterVec
	log  *slog.Logger
	now  func() time.Time

	crowds map[rules.Stage]prometheus.Counter // of shed, what found all places taken

	taken atomic.Int64              // changes under mu; whom there is no room for need not wait for it
	told  atomic.Pointer[time.Time] // the last warning

	mu    sync.Mutex
	by    map[netip.Prefix]int64 // client → what it has of taken
	wait  int64                  // what of taken waits for keys
	hosts map[string]int64       // whose key it waits for → what of wait
}

const (
	// leastPlace is what an activity counts for at least: its work is not less for being short.
	leastPlace = 64 << 10
	// tellEvery is how often the log says that there is too much.
	tellEvery = time.Minute
)

// PlacesOptions of Places. Most is required.
type PlacesOptions struct {
	Most    int64 // bytes of activities under way: limits.intake
	Clock   func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// NewPlaces returns empty Places.
func NewPlaces(o PlacesOptions) *Places {
	p := &Places{
		most: o.Most, now: o.Clock, log: o.Log, by: map[netip.Prefix]int64{}, hosts: map[string]int64{},
		shed: metric.Counter(o.Metrics, "sealgate_intake_shed_total",
			"MLS activities and key fetches turned away because there was no place, by class.", "class", "reason"),
	}
	p.crowds = map[rules.Stage]prometheus.Counter{}
	for _, at := range []rules.Stage{rules.Contact, rules.Group} {
		p.crowds[at] = p.shed.WithLabelValues(string(at), "full")
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	return p
}

// Enter takes a place until leave is called. The error is a *policy.LimitError.
func (p *Places) Enter(at rules.Stage, client netip.Addr, size int) (leave func(), err error) {
	if p == nil {
		return func() {}, nil
	}
	n, room := max(int64(size), leastPlace), p.room(at)
	if p.full(n, room) {
		return nil, p.tooMany(at)
	}
	who := subscriber(client)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.full(n, room) {
		return nil, p.tooMany(at)
	}
	if had := p.by[who]; had > 0 && had+n > room/4 {
		return nil, p.refuse(at, "client", &policy.LimitError{RetryAfter: time.Second, Key: "limits.intake", Reason: policy.ErrTooMany})
	}
	p.taken.Add(n)
	p.by[who] += n
	return func() { p.leave(who, n) }, nil
}

// Crowded tells, at sight of a body, whether there is no place for it, and what to ask of its sender: everybody's, whoever
// they are. It costs little, and allocates nothing. False: who wants to know must read it, and Enter.
func (p *Places) Crowded(body []byte) (comeAgain time.Duration, crowded bool) {
	if p == nil || !p.full(leastPlace, p.room(rules.Contact)) {
		return 0, false
	}
	at, ok := atSight(body)
	if !ok || !p.full(leastPlace, p.room(at)) {
		return 0, false
	}
	p.countFull(at)
	return patience(at), true
}

// full tells whether n more are too many; the first always have a place.
func (p *Places) full(n, room int64) bool {
	taken := p.taken.Load()
	return taken > 0 && taken+n > room
}

func (p *Places) leave(who netip.Prefix, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken.Add(-n)
	if p.by[who] -= n; p.by[who] == 0 {
		delete(p.by, who)
	}
}

// Await lets something that has a place wait for a host to tell a key, until over is called. The error is a
// *policy.LimitError.
func (p *Places) Await(host string, size int) (over func(), err error) {
	if p == nil {
		return func() {}, nil
	}
	n, room := max(int64(size), leastPlace), p.most/4
	p.mu.Lock()
	defer p.mu.Unlock()
	if had := p.hosts[host]; p.wait > 0 && p.wait+n > room || had > 0 && had+n > room/4 {
		return nil, p.refuse(rules.Contact, "key", &policy.LimitError{RetryAfter: patience(rules.Contact), Reason: policy.ErrBusy})
	}
	p.wait += n
	p.hosts[host] += n
	return func() { p.over(host, n) }, nil
}

func (p *Places) over(host string, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wait -= n
	if p.hosts[host] -= n; p.hosts[host] == 0 {
		delete(p.hosts, host)
	}
}

// stay asks whether something that has a place may keep it now that its stage is known.
func (p *Places) stay(at rules.Stage) error {
	if p == nil || p.taken.Load() <= p.room(at) {
		return nil
	}
	return p.tooMany(at)
}

// room is how much may be taken when something of a stage comes.
func (p *Places) room(at rules.Stage) int64 {
	if at == rules.Group {
		return p.most
	}
	return p.most / 2
}

// patience is what is asked of whom there is no place for: groups come back first.
func patience(at rules.Stage) time.Duration {
	if at == rules.Group {
		return 2 * time.Second
	}
	return 20 * time.Second
}

// tooMany refuses.
func (p *Places) tooMany(at rules.Stage) error {
	p.countFull(at)
	return &policy.LimitError{RetryAfter: patience(at), Reason: policy.ErrBusy}
}

// countFull counts what finds no place, and warns now and then.
func (p *Places) countFull(at rules.Stage) {
	p.crowds[at].Inc()
	now, last := p.now(), p.told.Load()
	if last != nil && now.Sub(*last) < tellEvery {
		return
	}
	if first := now; p.told.CompareAndSwap(last, &first) {
		p.log.Warn("more messages come than can be taken: senders are told to come again", "class", string(at), "key", "limits.intake")
	}
}

// refuse counts.
func (p *Places) refuse(at rules.Stage, reason string, err error) error {
	p.shed.WithLabelValues(string(at), reason).Inc()
	return err
}

// subscriber is an address, and of IPv6 the /64 that one subscriber has.
func subscriber(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	prefix, err := a.Prefix(bits)
	if err != nil { // the address is not known: a unix socket
		return netip.Prefix{}
	}
	return prefix
}

// StageOf is the stage that an activity claims to be at, before anybody has proven anything: group when it has a
// message of a group and no Welcome. What it really is at says Judge.
func StageOf(a *activity.Activity) rules.Stage {
	at := rules.Contact
	for _, o := range a.Objects {
		m, err := mls.Parse(o.Content)
		if err != nil {
			continue
		}
		if m.Welcome != nil {
			return rules.Contact
		}
		if _, _, ok := m.Group(); ok {
			at = rules.Group
		}
	}
	return at
}
