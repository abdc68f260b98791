package policy

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/policy/signature"
)

// The configuration keys of the budgets.
const (
	failedSignatures = "limits.failed_signatures"
	signedRequests   = "limits.signed_requests"
)

// Options configure a Gate. Domain and Keys are required.
type Options struct {
	Domain           string              // our host, with its port where it has one
	Keys             *actorkey.Keys      // whose lifetime the caller minds
	FailedSignatures ratelimit.Rate      // per client address; zero: 10 per minute
	SignedRequests   ratelimit.Rate      // per actor whose signature holds; zero: 3,000 per minute
	Book             *Book               // nil: everything is allowed
	Relations        Relations           // nil: everybody is a stranger
	Approvals        Approvals           // nil: nobody was accepted before
	Journal          Journal             // nil: nothing is remembered
	Server           func() rules.Server // how the gateway is doing, cheaply; nil: idle
	Clock            func() time.Time
	Log              *slog.Logger
	Metrics          prometheus.Registerer
}

// Gate decides who comes in. Its methods may be called concurrently.
type Gate struct {
	domain   string
	keys     *actorkey.Keys
	failures *ratelimit.Limiter
	signers  *ratelimit.Limiter
	pool     *pool
	proven   *otter.Cache[ratelimit.Key, struct{}] // clients one of whose signatures has held
	lookups  *lookups
	clock    func() time.Time
	log      *slog.Logger
	metrics  gateMetrics

	book      *Book
	relations Relations
	approvals Approvals
	server    func() rules.Server
	ledger    *ledger
	seen      *ratelimit.Limiter // whose seed names the locks of knocks
	failing   *ratelimit.Limiter // rules whose failing was told
	knocks    [knockLocks]sync.Mutex
	domains   *otter.Cache[string, time.Time] // when each was first seen
}

const (
	knockLocks   = 256
	knownDomains = 1 << 14

	provenClients = 1 << 16
	verifyQueue   = 1024 // signatures that wait to be checked
)

// New returns a Gate. It starts nothing.
func New(o Options) *Gate {
	if o.FailedSignatures == (ratelimit.Rate{}) {
		o.FailedSignatures = ratelimit.Rate{Max: 10, Every: time.Minute}
	}
	if o.SignedRequests == (ratelimit.Rate{}) {
		o.SignedRequests = ratelimit.Rate{Max: 3000, Every: time.Minute}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Server == nil {
		o.Server = func() rules.Server { return rules.Server{} }
	}
	metrics := newGateMetrics(o.Metrics)
	g := &Gate{
		domain:   o.Domain,
		keys:     o.Keys,
		failures: ratelimit.New(ratelimit.Options{Rate: o.FailedSignatures}),
		signers:  ratelimit.New(ratelimit.Options{Rate: o.SignedRequests}),
		pool:     newPool(max(1, runtime.GOMAXPROCS(0)-1), verifyQueue), // one processor is left for ordinary requests
		proven:   otter.Must(&otter.Options[ratelimit.Key, struct{}]{MaximumSize: provenClients, Logger: &otter.NoopLogger{}, Executor: func(f func()) { f() }}),
		lookups:  newLookups(),
		clock:    o.Clock,
		log:      o.Log,
		metrics:  metrics,

		book: o.Book, relations: o.Relations, approvals: o.Approvals, server: o.Server,
		ledger:  newLedger(o.Journal, o.Log, func(what string) { metrics.unrecorded.WithLabelValues(what).Inc() }),
		seen:    ratelimit.New(ratelimit.Options{Keys: 1}),
		failing: ratelimit.New(ratelimit.Options{Keys: 1 << 10, Rate: ratelimit.Rate{Max: 1, Every: time.Hour}}),
		domains: otter.Must(&otter.Options[string, time.Time]{
			MaximumSize: knownDomains, Logger: &otter.NoopLogger{}, Executor: func(f func()) { f() },
		}),
	}
	g.tellForgotten(o.Metrics)
	return g
}

// Run writes down what is decided until ctx ends; the last of it before it returns.
func (g *Gate) Run(ctx context.Context) error {
	if g.ledger.journal != nil {
		g.ledger.run(ctx)
	}
	return nil
}

// Admit returns who signed the arrival; a Signer that comes with an error is not admitted. Errors are *LimitError, or match
// ErrSignature or ErrKeyUnavailable; the end of ctx is the latter or ErrBusy,
// whichever it was waiting for. It asks the cheap questions first: the client's
// budget, then what needs no key, then the key, then the arithmetic.
func (g *Gate) Admit(ctx context.Context, a Arrival) (Signer, error) {
	client := g.failures.OfAddr(a.Client)
	if wait := g.failures.Wait(client, g.clock()); wait > 0 {
		g.metrics.limited.WithLabelValues("failed_signatures").Inc()
		return Signer{}, &LimitError{RetryAfter: wait, Key: failedSignatures, Rate: g.failures.Rate(), Reason: ErrTooMany}
	}
	scheme, signer, err := g.identify(ctx, a, client)
	g.metrics.checks.WithLabelValues(resultOf(err), scheme).Inc()
	if err == nil {
		return signer, g.charge(signer)
	}
	if chargeable(err) {
		g.failures.Take(client, g.clock())
	}
	g.log.Debug("signature not accepted", "scheme", scheme, "error", err)
	return Signer{}, err
}

// Knows says, cheaply and without any proof, whether the key that a request names is at hand: Admit then asks nobody.
func (g *Gate) Knows(a Arrival) bool {
	return g.keys.Has(signature.KeyID(&a.Request))
}

// charge counts a request for its signer: it has proven to be theirs.
func (g *Gate) charge(s Signer) error {
	wait := g.signers.Take(g.signers.Of(s.Actor), g.clock())
	if wait == 0 {
		return nil
	}
	g.metrics.limited.WithLabelValues("signed_requests").Inc()
	return &LimitError{RetryAfter: wait, Key: signedRequests, Rate: g.signers.Rate(), Reason: ErrTooMany}
}

// chargeable says whether an error goes on the client's account: everything
// that comes of what the client sent. A key server that was down before we knew
// better does not; a signature that a key has failed already does, whatever
// became of the refresh.
func chargeable(err error) bool {
	return errors.Is(err, ErrSignature) || errors.Is(err, signature.ErrMismatch)
}
