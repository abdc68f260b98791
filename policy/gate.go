package policy

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"log/slog"
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
	Verifiers        int                 // signatures checked at once; 0: one per CPU but one
	Queue            int                 // requests waiting to be; 0: 1,024
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
	knocks    [knockLocks]sync.Mutex
	domains   *otter.Cache[string, time.Time] // when each was first seen
}

const (
	knockLocks   = 256
	knownDomains = 1 << 14

	provenClients = 1 << 16
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
	return &Gate{
		domain:   o.Domain,
		keys:     o.Keys,
		failures: ratelimit.New(ratelimit.Options{Rate: o.FailedSignatures}),
		signers:  ratelimit.New(ratelimit.Options{Rate: o.SignedRequests}),
		pool:     newPool(o.Verifiers, o.Queue),
		proven:   otter.Must(&otter.Options[ratelimit.Key, struct{}]{MaximumSize: provenClients, Logger: &otter.NoopLogger{}, Executor: func(f func()) { f() }}),
		lookups:  newLookups(),
		clock:    o.Clock,
		log:      o.Log,
		metrics:  metrics,

		book: o.Book, relations: o.Relations, approvals: o.Approvals, server: o.Server,
		ledger: newLedger(o.Journal, o.Log, func(what string) { metrics.unrecorded.WithLabelValues(what).Inc() }),
		seen:   ratelimit.New(ratelimit.Options{Keys: 1}),
		domains: otter.Must(&otter.Options[string, time.Time]{
			MaximumSize: knownDomains, Logger: &otter.NoopLogger{}, Executor: func(f func()) { f() },
		}),
	}
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

// identify goes from the request to its signer.
func (g *Gate) identify(ctx context.Context, a Arrival, client ratelimit.Key) (string, Signer, error) {
	lane := g.laneOf(client)
	sig, err := g.parse(ctx, lane, &a.Request)
	if err != nil {
		return schemeOf(&a.Request), Signer{}, err
	}
	key, err := g.key(ctx, a, client, sig.KeyID)
	if err != nil {
		return sig.Scheme, Signer{}, err
	}
	refresh := func() (actorkey.Key, error) { return g.fetch(ctx, a, client, sig.KeyID, g.keys.Refresh) }
	if key, err = g.verify(ctx, lane, sig, key, refresh); err != nil {
		return sig.Scheme, Signer{}, err
	}
	g.proven.Set(client, struct{}{})
	return sig.Scheme, Signer{Actor: key.Actor, Agent: key.Agent, KeyID: key.ID, Scheme: sig.Scheme}, nil
}

// key is the one with the id. Whoever must wait for it to be fetched is bounded.
func (g *Gate) key(ctx context.Context, a Arrival, client ratelimit.Key, id string) (actorkey.Key, error) {
	if g.keys.Has(id) {
		key, err := g.keys.Key(ctx, id)
		return key, keyError(err)
	}
	return g.fetch(ctx, a, client, id, g.keys.Key)
}

// fetch has get fetch a key, when there is room for somebody who waits for its host.
func (g *Gate) fetch(ctx context.Context, a Arrival, client ratelimit.Key, id string, get func(context.Context, string) (actorkey.Key, error)) (actorkey.Key, error) {
	leave, err := g.lookups.enter(client, id)
	if err != nil {
		return actorkey.Key{}, err
	}
	defer leave()
	if a.Wait != nil {
		over, err := a.Wait(actorkey.Host(id))
		if err != nil {
			return actorkey.Key{}, err
		}
		defer over()
	}
	key, err := get(ctx, id)
	return key, keyError(err)
}

// laneOf lets in first whose signatures have held before. Whoever is over the
// budget for those that have not comes to no lane at all.
func (g *Gate) laneOf(client ratelimit.Key) *lane {
	if _, ok := g.proven.GetIfPresent(client); ok {
		return &g.pool.known
	}
	return &g.pool.strangers
}

// parse checks all that needs no key, digest included, in the pool.
func (g *Gate) parse(ctx context.Context, l *lane, r *signature.Request) (*signature.Signature, error) {
	var sig *signature.Signature
	err := l.do(ctx, func() (err error) {
		sig, err = signature.Parse(r, signature.Rules{Domain: g.domain, Now: g.clock()})
		return err
	})
	return sig, signatureError(err)
}

// verify holds the signature against the key, and once more against a fresh one
// when the key has changed since it was remembered.
func (g *Gate) verify(ctx context.Context, l *lane, sig *signature.Signature, key actorkey.Key, refresh func() (actorkey.Key, error)) (actorkey.Key, error) {
	check := func(public crypto.PublicKey) error {
		return l.do(ctx, func() error { return sig.Verify(public) })
	}
	err := check(key.Public)
	if !errors.Is(err, signature.ErrMismatch) {
		return key, signatureError(err)
	}
	fresh, refreshErr := refresh()
	if refreshErr != nil {
		return key, fmt.Errorf("%w after %w", refreshErr, err)
	}
	if equal(fresh.Public, key.Public) {
		return key, signatureError(err)
	}
	return fresh, signatureError(check(fresh.Public))
}

// equal compares public keys.
func equal(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// signatureError makes an error of package signature an ErrSignature, and
// leaves the pool's own alone.
func signatureError(err error) error {
	if err == nil || errors.Is(err, ErrBusy) || errors.Is(err, ErrKeyUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrSignature, err)
}

// keyError sorts what package actorkey answers.
func keyError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, actorkey.ErrNoKey) {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return fmt.Errorf("%w: %w", ErrKeyUnavailable, err)
}
