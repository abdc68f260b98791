// Package relay is the public front: it decides by the request line where a
// request goes, takes out what is MLS, adds the E2EE properties to actor
// documents, and answers for the gateway's own URLs.
//
// An ordinary request is passed on unread: no body, no lookup, no store. With
// relay/forward this is the only package that knows fasthttp; a RequestCtx never
// outlives its handler, and its bytes are copied before they are kept. relay
// decides nothing about people: policy admits, inbox accepts.
package relay

import (
	"cmp"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
	"github.com/sealgate/sealgate/relay/forward"
	"github.com/sealgate/sealgate/relay/intake"
	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/relay/push"
)

// workTimeout bounds what one request of the gateway's own may take: key fetch,
// questions to the instance, one synced write.
const workTimeout = 30 * time.Second

// Gate admits the senders of MLS; *policy.Gate is the real one.
type Gate interface {
	Admit(ctx context.Context, a policy.Arrival) (policy.Signer, error)
	// Knows says, cheaply and without any proof, whether the key that a request names is at hand.
	Knows(a policy.Arrival) bool
}

// Options of a Relay. Domain, Web, Gate, Inbox and People are required.
type Options struct {
	Domain      string            // the host in actor ids
	Base        string            // what the gateway's own URLs begin with; empty: https://{Domain}
	Web         *forward.Upstream // the instance
	Streaming   *forward.Upstream // its streaming server; nil: Web
	Gate        Gate
	Inbox       *inbox.Inbox
	People      *mastodon.Instance
	Outbox      *outbox.Outbox   // nil: nobody can send
	Keys        *inbox.Directory // nil: nobody can publish key packages
	Intake      *intake.Intake   // nil: policy allows everything
	Reporter    Reporter         // nil: no Flag can be posted
	Published   func() Published // nil: /e2ee/policy does not exist
	Key         *rsa.PublicKey   // of the gateway's own actor; nil: /e2ee/actor does not exist
	Enrolled    Enrolled         // nil: everybody is
	Limits      activity.Limits  // limits.json_depth, limits.json_keys
	MaxActivity int64            // mailbox.max_activity in bytes; 0: 1 MiB
	MaxHeld     int64            // of bodies that are read whole, together; 0: 64 MiB
	Quota       int64            // mailbox.quota in bytes; 0: nobody is warned

	Streams         int           // event streams of everybody; 0: 20,000
	StreamsPerOwner int           // of one person; 0: 32
	Heartbeat       time.Duration // of an event stream, and how often its token is checked; 0: 30 s

	Leaving func() bool // true: nothing new is taken (sealgate leave); nil: never

	Push *push.Pusher // nil: no Web Push, /e2ee/users/{name}/push does not exist

	SignIn   *oauth.Server // nil: nobody signs in here, /e2ee/oauth does not exist
	Outside  *Outside      // nil: /e2ee/proxy does not exist
	Internal []string      // host:port that /e2ee/proxy must not ask: the instance's and the operator's

	Clock   func() time.Time
	Log     *slog.Logger          // nil: discarded
	Metrics prometheus.Registerer // nil: not registered
}

// Relay answers every public request. It is safe for concurrent use.
type Relay struct {
	domain, base   string
	web, streaming *forward.Upstream
	gate           Gate
	inbox          *inbox.Inbox
	people         *mastodon.Instance
	outbox         *outbox.Outbox
	keys           *inbox.Directory
	intake         *intake.Intake
	enrolled       Enrolled
	reporter       Reporter
	published      func() Published
	policyHTML     *template.Template
	limits         activity.Limits
	maxActivity    int64
	quota          int64
	heartbeat      time.Duration
	streams        *streams
	buffers        eventBuffers
	leaving        func() bool
	push           *push.Pusher
	signIn         *signIn  // nil: nobody signs in here
	looking        *looking // nil: nothing is fetched for people
	clock          func() time.Time
	log            *slog.Logger
	metrics        *metrics

	endpoints []property   // what actor documents have in endpoints
	ownActor  []byte       // the document of /e2ee/actor; nil when there is no key
	edit      forward.Edit // of actor documents
	named     namedInboxes
	calls     calls
	busy      []byte // the problem of what finds no place
	desk      *desk
	bodies    bodies
	native    atomic.Bool // the upstream was seen to offer key packages itself
}

// New makes a Relay. An error names the option that is missing.
func New(o Options) (*Relay, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &Relay{
		domain: strings.ToLower(o.Domain), base: cmp.Or(strings.TrimSuffix(o.Base, "/"), "https://"+strings.ToLower(o.Domain)),
		web: o.Web, streaming: o.Streaming,
		gate: o.Gate, inbox: o.Inbox, people: o.People, outbox: o.Outbox, keys: o.Keys, intake: o.Intake, enrolled: o.Enrolled,
		reporter: o.Reporter, published: o.Published, policyHTML: newPolicyPage(),
		limits: o.Limits, maxActivity: cmp.Or(o.MaxActivity, 1<<20), quota: o.Quota,
		heartbeat: cmp.Or(o.Heartbeat, heartbeatEvery), streams: newStreams(o), push: o.Push,
		clock: o.Clock, log: o.Log, metrics: newMetrics(o.Metrics), leaving: o.Leaving,
	}
	if r.leaving == nil {
		r.leaving = func() bool { return false }
	}
	// Mastodon says the origin for /users/… and forgets it for /ap/users/…: a client in a browser must read it.
	r.edit = forward.Edit{Document: r.editReply, Origin: "*"}
	r.desk, r.calls = newDesk(), make(calls, spareCalls)
	r.busy = describeLimit(&policy.LimitError{Reason: policy.ErrBusy}).body()
	r.bodies.most = cmp.Or(o.MaxHeld, 64<<20)
	if r.intake == nil {
		r.intake = intake.New(intake.Options{Inbox: o.Inbox})
	}
	if o.Keys != nil {
		o.Inbox.OnRelease(o.Keys.ConsumeKept)
	}
	r.signIn, r.looking, r.endpoints = newSignIn(o.SignIn, r.base, o.Metrics), newLooking(o.Outside, o.Internal), o.offered()
	if r.clock == nil {
		r.clock = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if o.Key != nil {
		doc, err := r.describeOwnActor(o.Key)
		if err != nil {
			return nil, fmt.Errorf("describe the gateway's own actor: %w", err)
		}
		r.ownActor = doc
	}
	return r, nil
}

func (o Options) check() error {
	switch {
	case o.Domain == "":
		return errors.New("relay: Options.Domain is empty (configuration key domain)")
	case o.Web == nil:
		return errors.New("relay: Options.Web is missing (configuration key upstream.web)")
	case o.Gate == nil, o.Inbox == nil, o.People == nil:
		return errors.New("relay: Options.Gate, Inbox and People are required")
	}
	return nil
}

// Handle answers one request: by passing it on, or itself.
func (r *Relay) Handle(ctx *fasthttp.RequestCtx) {
	begin := r.clock()
	d := r.routeOf(ctx.Method(), ctx.Request.Header.RequestURI())
	r.serve(ctx, d)
	r.metrics.request(d.route, ctx.Response.StatusCode(), r.clock().Sub(begin))
}

// serve passes on what is the instance's at once. Everything else may wait, and does so aside.
func (r *Relay) serve(ctx *fasthttp.RequestCtx, d destination) {
	if string(ctx.Method()) == fasthttp.MethodOptions && asksSeen(ctx) {
		writeEmpty(ctx, fasthttp.StatusNoContent)
		tellSeen(ctx)
		return
	}
	switch d.route {
	case routeForward:
		r.web.Pass(ctx)
		r.forgetRefused(ctx)
	case routeStreaming:
		r.streaming.Pass(ctx)
	case routeInbox:
		r.intercept(ctx)
	case routeActor:
		r.actorDocument(ctx)
	case routePreflight:
		r.passPreflight(ctx)
	default:
		forward.Aside(ctx, func() { r.serveOurs(ctx, d) })
	}
}

func (r *Relay) serveOurs(ctx *fasthttp.RequestCtx, d destination) {
	switch d.route {
	case routeWebFinger:
		r.webFinger(ctx)
	case routeRevoke:
		r.revoke(ctx)
	case routeAuthorize, routeToken, routeMetadata:
		r.serveSignIn(ctx, d)
	case routeOwnInbox:
		r.ownInbox(ctx)
	default:
		r.own(ctx, d)
	}
}

// own answers for a URL of the gateway's own: preflights, wrong methods, then the
// request itself.
func (r *Relay) own(ctx *fasthttp.RequestCtx, d destination) {
	if !r.only(ctx, d.route.methods()) {
		return
	}
	work, cancel := context.WithTimeout(context.Background(), workTimeout)
	defer cancel()
	if err := r.answer(work, ctx, d); err != nil {
		r.fail(ctx, err)
	}
}

// answer writes what a route of the gateway's own has to say; an error is for fail.
func (r *Relay) answer(work context.Context, ctx *fasthttp.RequestCtx, d destination) error {
	name := unescaped(string(d.name))
	switch d.route {
	case routeMessages:
		if isRead(ctx.Method()) {
			return r.messages(work, ctx, name)
		}
		return r.done(work, ctx, name)
	case routeEvents:
		return r.events(work, ctx, name)
	case routePush:
		return r.pushes(work, ctx, name)
	case routeDevices:
		return r.devices(work, ctx, name)
	case routeKeyPackages:
		return r.keyPackages(work, ctx, name)
	case routeKeyPackage:
		return r.keyPackage(work, ctx, name, unescaped(string(d.item)))
	case routeOutbox:
		return r.outboxPost(work, ctx)
	case routeActivities, routeObjects:
		return r.sentDocument(work, ctx, d)
	case routeThread:
		return r.conversation(work, ctx, name)
	case routeRequests, routeRequest:
		return r.requests(work, ctx, d)
	case routeProxy:
		return r.lookUp(work, ctx)
	case routePolicy:
		r.policyPage(ctx)
	case routeOwnActor:
		r.serveOwnActor(ctx)
	default:
		panic("bug: nobody answers for the route " + string(d.route))
	}
	return nil
}
