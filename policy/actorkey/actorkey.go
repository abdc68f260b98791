// Package actorkey finds out which actor a key belongs to: it fetches peers'
// key and actor documents with a client that cannot be sent into private
// networks, and remembers the answers for a while.
//
// A key belongs to an actor only if the actor's own document, fetched from its
// own id without leaving its host, lists that key id or embeds the key with the
// actor as its owner. What a key document says of itself proves nothing. The
// package knows nothing of signatures or requests and imports nothing of ours but metric.
// Key documents: FEP-521a, security vocabulary v1.
package actorkey

import (
	"context"
	"crypto"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/metric"
)

// The two ways not to have a key. A peer is told 503 for the first and 401 for
// the second.
var (
	// ErrUnavailable: whoever could tell is not answering now.
	ErrUnavailable = errors.New("actorkey: key cannot be fetched now")
	// ErrNoKey: there is no such key, or nobody's own document owns up to it.
	ErrNoKey = errors.New("actorkey: no such key")
)

// Key is a public key whose owner is proven. It is shared: do not change it.
type Key struct {
	ID     string // exactly as asked for
	Actor  string // exactly as the actor's own document names itself
	Name   string // its preferredUsername, which it may have chosen freely; at most 128 bytes
	Agent  bool   // the actor is an Application or a Service, and speaks for many
	Public crypto.PublicKey
}

// Options configure Keys. Everything but Client may be left out.
type Options struct {
	Client  *http.Client                // from NewClient
	Clock   func() time.Time            // time.Now
	Log     *slog.Logger                // discarded
	Metrics prometheus.Registerer       // not registered
	Local   func(id string) (Key, bool) // our own keys, which need no fetching
	Sign    func(*http.Request) error   // signs a fetch that was answered 401 or 403
	Timeout time.Duration               // for all fetches behind one key together, 10 s
}

// How long answers hold. A key that is there may be revoked, one that is not
// may appear, and one that could not be fetched may come back any moment.
const (
	keepKey         = time.Hour
	keepNoKey       = time.Minute
	keepUnavailable = 10 * time.Second
	refreshEvery    = 5 * time.Minute
)

// Bounds on work that strangers cause.
const (
	maxKeyID       = 2048
	maxName        = 128
	maxMembers     = 100 // of an array: keys that an actor has, types that it is of
	maxError       = 512 // characters: errors quote what servers wrote, and are remembered
	maxCacheBytes  = 16 << 20
	maxFlights     = 1024 // fetches begun and not ended, waiting ones included
	maxHostFlights = 64   // of these for one host
	maxFetches     = 128  // fetches that are really under way
	maxHostFetches = 8    // of these at one host
)

// Keys is the set of all peers' keys, fetched as they are needed. All methods
// may be called concurrently.
type Keys struct {
	fetch   *fetcher
	cache   *cache
	flights *flights
	local   func(string) (Key, bool)
	clock   func() time.Time
	log     *slog.Logger
	fetches *prometheus.CounterVec

	mu sync.Mutex // orders refreshes
}

// New returns an empty Keys. Close ends what it starts.
func New(o Options) *Keys {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Local == nil {
		o.Local = func(string) (Key, bool) { return Key{}, false }
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	return &Keys{
		fetch:   newFetcher(o),
		cache:   newCache(),
		flights: newFlights(o.Timeout),
		local:   o.Local,
		clock:   o.Clock,
		log:     o.Log,
		fetches: metric.Counter(o.Metrics, "sealgate_key_fetches_total", "Fetches of peers' keys, by how they ended.", "result"),
	}
}

// Close abandons the fetches under way and waits for them.
func (k *Keys) Close() { k.flights.close() }

// Key returns the key with the id, from memory when it is fresh. Errors wrap
// ErrUnavailable or ErrNoKey; the end of ctx is ErrUnavailable and does not
// stop a fetch that others wait for, too.
func (k *Keys) Key(ctx context.Context, id string) (Key, error) {
	if key, ok := k.local(id); ok {
		return key, nil
	}
	if e, ok := k.cache.get(id); ok && e.fresh(k.clock()) {
		return e.key, e.err
	}
	fl, err := k.begin(id)
	if err != nil {
		return Key{}, err
	}
	return fl.wait(ctx)
}

// Has tells whether Key would answer with a key at once.
func (k *Keys) Has(id string) bool {
	if _, ok := k.local(id); ok {
		return true
	}
	e, ok := k.cache.get(id)
	return ok && e.err == nil && e.fresh(k.clock())
}

// Host is whom the key with the id is fetched from, or "" when nobody is asked.
func Host(id string) string {
	url, err := documentURL(id)
	if err != nil {
		return ""
	}
	return strings.ToLower(url.Hostname())
}

// Name is the preferredUsername of an actor whose key was fetched lately, or "".
func (k *Keys) Name(actor string) string {
	name, _ := k.cache.names.GetIfPresent(actor)
	return name
}

// Refresh fetches the key anew, whatever is remembered, but only once in five
// minutes per key id; in between it answers what the last one brought, and joins
// a fetch that is under way. A fetch that does not reach the server is an
// ErrUnavailable, yet leaves a good key in place for Key.
func (k *Keys) Refresh(ctx context.Context, id string) (Key, error) {
	if key, ok := k.local(id); ok {
		return key, nil
	}
	fl, err := k.refresh(id)
	if err != nil {
		return Key{}, err
	}
	if fl == nil {
		return k.Key(ctx, id)
	}
	key, err := fl.wait(ctx)
	if errors.Is(err, ErrUnavailable) && ctx.Err() == nil { // the fetch failed, not the caller's patience
		k.cache.refreshFailed(id, err)
	}
	return key, err
}

// refresh begins the forced fetch of id, or finds one to join; neither when
// there was one lately that ended well.
func (k *Keys) refresh(id string) (*flight, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	last, isRecent := k.cache.lastRefresh(id, k.clock())
	if !isRecent {
		fl, err := k.begin(id)
		if err == nil {
			k.cache.refreshBegan(id, k.clock())
		}
		return fl, err
	}
	url, err := documentURL(id)
	if err != nil {
		return nil, err
	}
	if fl := k.flights.find(flightID{key: id, host: url.Host}); fl != nil {
		return fl, nil
	}
	return nil, last.err
}

// begin joins or starts the one fetch of id.
func (k *Keys) begin(id string) (*flight, error) {
	url, err := documentURL(id)
	if err != nil {
		return nil, err
	}
	return k.flights.join(flightID{key: id, host: url.Host}, func(ctx context.Context) (Key, error) {
		key, err := k.fetch.key(ctx, id)
		err = brief(err)
		k.cache.put(id, key, err, k.clock())
		k.fetches.WithLabelValues(result(err)).Inc()
		if err != nil {
			k.log.Debug("peer key not found", "host", url.Host, "error", err)
		}
		return key, err
	})
}

func result(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, ErrUnavailable):
		return "unavailable"
	default:
		return "no_key"
	}
}
