// Package push wakes people's devices through the push service of each (RFC 8030): an empty message that
// says neither who wrote nor what, signed with the gateway's own key (VAPID, RFC 8292).
//
// It has no payload, so nothing is encrypted (RFC 8291) and no client key is kept. It reaches push services
// through the client it is given, which must not reach anything inside. A push is a hint: messages are in
// the mailbox whether it arrives or not.
package push

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/metric"
)

// What can be wrong with a subscription.
var (
	// ErrEndpoint means that the endpoint is no URL of a push service.
	ErrEndpoint = errors.New("push: endpoint is not an https URL of at most 2048 bytes without user name or fragment")
	// ErrNoSubscription means that the person has none with that id or endpoint.
	ErrNoSubscription = errors.New("push: no such subscription")
)

// Values keeps small values durably; *storage.Store does. Kept answers an
// inbox.ErrNotFound for what was never kept.
type Values interface {
	Keep(ctx context.Context, name string, value []byte) error
	Kept(ctx context.Context, name string) ([]byte, error)
}

// Options of a Pusher. Values, Client, Key and Subject are required.
type Options struct {
	Values         Values
	Client         *http.Client      // actorkey.NewClient's: never one that reaches inside
	Key            *ecdsa.PrivateKey // P-256; push services know the gateway by it
	Subject        string            // an https: or mailto: URL where the push service finds who runs this
	AllowPlainHTTP bool              // federation.allow_plain_http: tests and private networks
	Quiet          time.Duration     // one push per subscription in this time; 0: 5 s
	Clock          func() time.Time
	Log            *slog.Logger
	Metrics        prometheus.Registerer
}

const (
	quietTime  = 5 * time.Second
	workers    = 16
	maxWaiting = 100_000 // owners with something to be told; more are told with their next message
)

// Pusher keeps subscriptions and wakes devices. It is safe for concurrent use.
type Pusher struct {
	o      Options
	public string // the key as clients need it: base64url of the uncompressed point
	pushes *prometheus.CounterVec
	tokens tokens

	changing sync.Mutex // one change of anybody's subscriptions at a time

	mu      sync.Mutex
	owners  map[inbox.Owner]devices // queued, being pushed, or within the quiet time after that; and whom to wake then
	holding map[string]hold         // subscriptions whose service wants to be left alone, by id
	queue   []task
	ready   chan struct{} // has something in it when the queue may have

	ctx     context.Context //nolint:containedctx // the life of the workers, ended by Close
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// New starts a Pusher; Close ends it. An error names what is missing.
func New(o Options) (*Pusher, error) {
	if o.Values == nil || o.Client == nil || o.Key == nil || o.Subject == "" {
		return nil, errors.New("push: Options.Values, Client, Key and Subject are required")
	}
	public, err := publicKey(o.Key)
	if err != nil {
		return nil, err
	}
	if o.Quiet == 0 {
		o.Quiet = quietTime
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pusher{
		o: o, public: public,
		pushes: metric.Counter(o.Metrics, "sealgate_web_pushes_total", "Web pushes by result: sent, gone, later, failed.", "result"),
		owners: map[inbox.Owner]devices{}, holding: map[string]hold{}, ready: make(chan struct{}, 1),
	}
	p.tokens.made = map[string]token{}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for range workers {
		p.running.Go(p.work)
	}
	return p, nil
}

// Close ends what is under way.
func (p *Pusher) Close() {
	p.cancel()
	p.running.Wait()
}

// PublicKey is the applicationServerKey for a client's subscribe.
func (p *Pusher) PublicKey() string { return p.public }
