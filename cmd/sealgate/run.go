package main

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/admin"
	"github.com/sealgate/sealgate/relay/admin/page"
	"github.com/sealgate/sealgate/relay/edge"
	"github.com/sealgate/sealgate/relay/forward"
	"github.com/sealgate/sealgate/relay/intake"
	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/storage"
)

// gateway is the running program: every package's part, built from one configuration.
type gateway struct {
	config  configs.Config
	log     *slog.Logger
	metrics *prometheus.Registry

	store    *storage.Store
	people   *mastodon.Instance
	known    *mastodon.Relations
	signIn   *oauth.Server
	keys     *actorkey.Keys
	inbox    *inbox.Inbox
	relay    *relay.Relay
	outbox   *outbox.Outbox
	book     *policy.Book
	gate     *policy.Gate
	intake   *intake.Intake
	packages *inbox.Directory
	front    *forward.Server
	admin    *admin.Admin

	certificates edge.Certificates // nil: something in front does TLS
	plain        *forward.Server   // of tls.http; nil without certificates

	leaving  atomic.Bool // sealgate leave
	deciding sync.Mutex  // keeps leaving what the store has

	closers []func() error // in the order of opening; closed from the last
	ways    []func() error // close the ways to the instance, which tunnels need when all else is closed
}

// newGateway opens the store and makes everything that stands on it. It listens nowhere yet; after an
// error nothing is left open.
func newGateway(config configs.Config, log *slog.Logger) (*gateway, error) {
	g := &gateway{config: config, log: log, metrics: prometheus.NewRegistry()}
	g.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, step := range []func() error{g.openStore, g.meetPeople, g.openPolicy, g.openFront, g.openEdge} {
		if err := step(); err != nil {
			return nil, errors.Join(err, g.close())
		}
	}
	return g, nil
}

// later has close run f, before everything opened earlier.
func (g *gateway) later(f func() error) { g.closers = append(g.closers, f) }

// close ends everything. It may be called again.
func (g *gateway) close() error {
	err := g.closeKept()
	for _, f := range g.ways {
		err = errors.Join(err, f())
	}
	g.ways = nil
	return err
}

// closeKept ends everything but the ways to the instance, the store last.
func (g *gateway) closeKept() error {
	var errs []error
	for len(g.closers) > 0 {
		last := len(g.closers) - 1
		errs = append(errs, g.closers[last]())
		g.closers = g.closers[:last]
	}
	return errors.Join(errs...)
}

func (g *gateway) openStore() error {
	o := storeOptions(g.config)
	o.Log, o.Metrics = g.log, g.metrics
	var err error
	if g.store, err = openWhenFree(g.config, o); err != nil {
		return err
	}
	g.later(g.store.Close)
	left, err := isLeaving(context.Background(), g.store)
	if err != nil {
		return err
	}
	g.leaving.Store(left)
	if left {
		g.log.Warn("no messages are taken since sealgate leave: --undo takes them again")
	}
	g.inbox = inbox.New(inbox.Options{Store: g.store, Threads: outbox.Threads(publicBase(g.config)), Log: g.log, Metrics: g.metrics})
	return nil
}

// storeOptions lack the key.
func storeOptions(c configs.Config) storage.Options {
	return storage.Options{
		Path: c.Storage.Path, Retention: time.Duration(c.Mailbox.Retention),
		Quota: int64(c.Mailbox.Quota), Share: senderShare(c.Mailbox), MaxMessage: int64(c.Mailbox.MaxActivity),
		Door: doorOf(c.Mailbox),
	}
}

// storeKey reads storage.encryption_key, which a first start makes when it is a file.
func storeKey(c configs.Storage) ([]byte, error) {
	if path, ok := c.EncryptionKey.File(); ok {
		return storage.LoadOrCreateKey(path, c.Path)
	}
	text, err := c.EncryptionKey.Reveal()
	if err != nil {
		return nil, fmt.Errorf("storage.encryption_key: %w", err)
	}
	return storage.ParseKey(text)
}

func (g *gateway) meetPeople() error {
	people, err := newPeople(g.config, g.store, g.log)
	if err != nil {
		return err
	}
	g.people = people
	g.later(func() error { people.Close(); return nil })
	return nil
}

func newPeople(config configs.Config, register mastodon.Register, log *slog.Logger) (*mastodon.Instance, error) {
	return mastodon.New(mastodon.Options{
		Domain: config.Domain, Web: config.Upstream.Web, Software: config.Upstream.Software,
		Register: register, Log: log,
	})
}

func (g *gateway) openFront() error {
	own, err := actorKey().loadOrMake(g.config)
	if err != nil {
		return err
	}
	g.known = g.newRelations()
	g.gate = g.newGate(own)
	if g.intake, err = g.openDoor(); err != nil {
		return err
	}
	if g.outbox, err = g.newOutbox(own); err != nil {
		return err
	}
	web, streaming, err := g.openUpstreams()
	if err != nil {
		return err
	}
	pusher, err := g.newPush()
	if err != nil {
		return err
	}
	outside := g.newOutside(own)
	if g.signIn, err = g.newSignIn(outside); err != nil {
		return err
	}
	g.relay, err = relay.New(relay.Options{
		Domain: g.config.Domain, Base: publicBase(g.config), Web: web, Streaming: streaming,
		Gate: g.gate, Inbox: g.inbox, People: g.people, Outbox: g.outbox, Keys: g.packages, Intake: g.intake,
		Reporter: g.known, Published: g.published, Key: &own.PublicKey, Enrolled: g.enrolled(),
		Limits:      activity.Limits{Depth: g.config.Limits.JSONDepth, Keys: g.config.Limits.JSONKeys},
		MaxActivity: int64(g.config.Mailbox.MaxActivity), MaxHeld: int64(g.config.Memory) / 8, Quota: int64(g.config.Mailbox.Quota),
		Leaving: g.leaving.Load, Push: pusher, SignIn: g.signIn, Outside: outside, Internal: g.internal(),
		Log: g.log, Metrics: g.metrics,
	})
	if err != nil {
		return err
	}
	g.front = forward.NewServer(forward.ServerOptions{
		Handler: g.relay.Handle, TrustedProxies: g.config.TrustedProxies, Limits: frontLimits(g.config.Limits),
		Log: g.log, Metrics: g.metrics,
	})
	operators, err := g.newPage()
	if err != nil {
		return err
	}
	g.admin = g.newAdmin(operators)
	return nil
}

// openUpstreams makes the ways to the instance; without a streaming server of its own, both are one.
func (g *gateway) openUpstreams() (web, streaming *forward.Upstream, err error) {
	if web, err = g.newUpstream(g.config.Upstream.Web); err != nil {
		return nil, nil, fmt.Errorf("upstream.web: %w", err)
	}
	if g.config.Upstream.Streaming == "" {
		return web, web, nil
	}
	if streaming, err = g.newUpstream(g.config.Upstream.Streaming); err != nil {
		return nil, nil, fmt.Errorf("upstream.streaming: %w", err)
	}
	return web, streaming, nil
}

func (g *gateway) newUpstream(url string) (*forward.Upstream, error) {
	u, err := forward.NewUpstream(forward.UpstreamOptions{
		URL: url, HideCookie: relay.CookiePrefix(publicBase(g.config)), Log: g.log, Metrics: g.metrics,
	})
	if err != nil {
		return nil, err
	}
	g.ways = append(g.ways, u.Close)
	return u, nil
}

// newGate makes the way from a signed request to its signer. Fetches that a peer refuses unsigned
// are signed by the gateway's own actor.
func (g *gateway) newGate(own *rsa.PrivateKey) *policy.Gate {
	limits := g.config.Limits
	base := publicBase(g.config)
	keyID, actor := relay.OwnKeyID(base), relay.OwnActor(base)
	g.keys = actorkey.New(actorkey.Options{
		Client: g.newClient(actorkey.ClientOptions{}), Timeout: time.Duration(g.config.Federation.Timeout), Log: g.log, Metrics: g.metrics,
		Local: func(id string) (actorkey.Key, bool) {
			return actorkey.Key{ID: keyID, Actor: actor, Public: &own.PublicKey}, id == keyID
		},
		Sign: g.signAs(own),
	})
	g.later(func() error { g.keys.Close(); return nil })
	return policy.New(policy.Options{
		Keys: g.keys, Domain: g.config.Domain,
		FailedSignatures: rateOf(limits.FailedSignatures), SignedRequests: rateOf(limits.SignedRequests),
		Book: g.book, Journal: g.store, Server: newPulse(g.config.Storage.Path).read,
		Relations: g.known, Approvals: approvals{g.inbox},
		Log: g.log, Metrics: g.metrics,
	})
}

func rateOf(r configs.Rate) ratelimit.Rate { return ratelimit.Rate{Max: r.Max, Every: r.Every} }

func frontLimits(l configs.Limits) forward.Limits {
	return forward.Limits{
		HeaderTimeout: time.Duration(l.HeaderTimeout), IdleTimeout: time.Duration(l.IdleTimeout),
		BodyTimeout: time.Duration(l.BodyTimeout), WriteTimeout: time.Duration(l.WriteTimeout),
		HeaderBytes: int(l.HeaderBytes), HeaderFields: l.HeaderCount, TargetBytes: int(l.URIBytes),
		ConnectionsPerClient: l.ConnectionsPerClient, Connections: l.Connections,
	}
}

// newAdmin answers the operator, and the program's own commands.
func (g *gateway) newAdmin(operators *page.Page) *admin.Admin {
	return admin.New(admin.Options{
		Page: operators.Handler(), SocketPage: operators.Socket(),
		Checks: []admin.Check{
			{Name: "store", Probe: func(context.Context) error { return g.store.Writable() }},
			{Name: "upstream", Probe: g.people.Reachable},
		},
		Gatherer: g.metrics, Mailbox: g.holds, Policy: g.book, Commands: g.commands(),
		Door: doorkeeper{g.store, g.inbox}, Leaving: g.leaving.Load, Log: g.log,
	})
}

// holds tells whether the person called name has a message with this activity id.
func (g *gateway) holds(ctx context.Context, name, activityID string) (bool, error) {
	person, err := g.people.Person(ctx, name)
	if err != nil {
		return false, err
	}
	_, err = g.inbox.Find(ctx, inbox.Owner(person.Account), activityID)
	if errors.Is(err, inbox.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
