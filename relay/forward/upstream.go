package forward

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/metric"
)

// Upstream is the instance behind the gateway, with the connections kept to it. Safe for concurrent use.
type Upstream struct {
	o                UpstreamOptions
	network, address string
	dialer           net.Dialer
	log              *slog.Logger
	failures         *prometheus.CounterVec

	pool    pool
	replies buffers
	hops    spares[hop]
	watch   *watch
	closed  atomic.Int64 // when it last closed a kept connection without saying so, on the watch's clock; 0: never

	once  sync.Once
	stop  chan struct{}
	ended chan struct{}
}

// NewUpstream returns the Upstream at o.URL. It does not dial yet. Close it when its last request is over.
func NewUpstream(o UpstreamOptions) (*Upstream, error) {
	network, address, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	o = o.orDefault()
	u := &Upstream{
		o: o, network: network, address: address, log: logger(o.Log),
		failures: metric.Counter(o.Metrics, "sealgate_upstream_errors_total", "Requests the instance did not answer as it should.", "kind"),
		pool:     pool{limit: o.MaxIdle, all: make(map[*link]struct{}), links: make(map[*loop][]*link)},
		replies:  newBuffers(32<<10, func(k *stock) *[]*[]byte { return &k.replies }),
		hops:     spares[hop]{own: func(k *stock) *[]*hop { return &k.hops }, fresh: newHop},
		watch:    newWatch(tickFor(min(o.HeaderTimeout, o.StallTimeout, o.IdleTimeout))),
		stop:     make(chan struct{}), ended: make(chan struct{}),
	}
	go u.tidy()
	return u, nil
}

func (o UpstreamOptions) orDefault() UpstreamOptions {
	o.DialTimeout = positive(o.DialTimeout, 5*time.Second)
	o.HeaderTimeout = positive(o.HeaderTimeout, 60*time.Second)
	o.StallTimeout = positive(o.StallTimeout, 5*time.Minute)
	o.IdleTimeout = positive(o.IdleTimeout, 15*time.Second)
	o.MaxIdle = positive(o.MaxIdle, 256)
	o.HeaderBytes = positive(o.HeaderBytes, 256<<10)
	return o
}

// tidy drops links that were unused for too long, before the upstream does.
func (u *Upstream) tidy() {
	defer close(u.ended)
	t := time.NewTicker(max(u.o.IdleTimeout/4, u.watch.tick))
	defer t.Stop()
	for {
		select {
		case <-u.stop:
			return
		case <-t.C:
			for _, l := range u.pool.old(time.Now().Add(-u.o.IdleTimeout)) {
				l.drop()
			}
		}
	}
}

// Close cuts all connections to the upstream; requests that still run fail.
func (u *Upstream) Close() error {
	u.once.Do(func() { close(u.stop) })
	<-u.ended
	u.pool.close()
	u.watch.close()
	return nil
}

// Pass forwards the request of ctx and its reply, streaming both bodies; upgrades become tunnels.
// ctx must come from a Server. When it returns, the reply is written or given up.
func (u *Upstream) Pass(ctx *fasthttp.RequestCtx) { u.serve(ctx, manner{}) }

// Aside runs f, which handles ctx and may wait for anything, and returns when f has. A handler itself must wait for nothing but
// what ctx and an Upstream give it: others are served by the same thread. ctx must come from a Server, or f just runs.
func Aside(ctx *fasthttp.RequestCtx, f func()) { AsideBy(ctx, spawn, f) }

// AsideBy is Aside for who has start run f: in a goroutine of its choice, and maybe not at once.
func AsideBy(ctx *fasthttp.RequestCtx, start func(f func()), f func()) {
	if x, ok := ctx.Conn().(exchange); ok {
		x.of().asideBy(start, f)
		return
	}
	f()
}

// AfterOthers has the client's next request wait until those had their turn who need nothing but to be passed on, as after
// something Aside.
func AfterOthers(ctx *fasthttp.RequestCtx) {
	if x, ok := ctx.Conn().(exchange); ok {
		x.of().afterOthers()
	}
}

// Peek returns the whole body of ctx's request if it has arrived already, and leaves it to be passed on or read. It is borrowed
// until then. False: it must be read to be known. ctx must come from a Server, or nothing is known.
func Peek(ctx *fasthttp.RequestCtx) ([]byte, bool) {
	if x, ok := ctx.Conn().(exchange); ok {
		return x.upload().peek()
	}
	return nil, false
}

// Waiting makes a handler that may wait for anything one that does so aside.
func Waiting(h fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) { Aside(ctx, func() { h(ctx) }) }
}

// PassBody is Pass for a request whose body was read whole from ctx.RequestBodyStream: body, as it came.
func (u *Upstream) PassBody(ctx *fasthttp.RequestCtx, body []byte) {
	u.serve(ctx, manner{body: body, read: true})
}

// manner is how one request is passed on.
type manner struct {
	body []byte // if read
	read bool   // the body was taken from the client already
	edit Edit   // if its Document is not nil
}

// reuse says which connections may carry a request.
type reuse uint8

const (
	never      reuse = iota // a new one
	unrepeated              // a kept one; the request is sent again only if it was certainly not received
	repeatable              // a kept one; the request may be sent again
)

// serve forwards one request and turns a failure into an answer.
func (u *Upstream) serve(ctx *fasthttp.RequestCtx, how manner) {
	x, ok := ctx.Conn().(exchange)
	if !ok {
		panic("bug: the context was not made by forward.Server")
	}
	h := u.hops.take(x.of())
	h.u, h.x, h.how = u, x, how
	err := h.run()
	status := h.status
	u.giveHop(x.of(), h)
	if err == nil {
		ctx.Response.SetStatusCode(status)
		return
	}
	x.of().aside(func() { u.answer(ctx, x, err) }) // it writes a log, which may wait
}

// answer tells the client what went wrong, if it has not been told anything yet.
func (u *Upstream) answer(ctx *fasthttp.RequestCtx, x exchange, err error) {
	var f *failure
	if errors.As(err, &f) {
		u.failures.WithLabelValues(f.kind).Inc()
		u.log.Warn("upstream failed", "kind", f.kind, "error", f.err)
	}
	if g, ok := errors.AsType[*givenUp](err); ok {
		x.abort()
		ctx.Response.SetStatusCode(g.status)
		return
	}
	switch {
	case f != nil && f.kind == kindTimeout:
		problem(ctx, rejection{504, "The instance behind the gateway did not answer in time."})
		ctx.Response.Header.Set("Retry-After", "10")
	case f != nil:
		problem(ctx, rejection{502, "The instance behind the gateway cannot be reached or answered nonsense."})
		ctx.Response.Header.Set("Retry-After", "10")
	case errors.Is(err, ErrSlow):
		problem(ctx, rejection{408, "The request body took too long (limits.body_timeout)."})
	default:
		problem(ctx, rejection{400, "The request body is malformed or was cut short."})
	}
	ctx.SetConnectionClose()
}
