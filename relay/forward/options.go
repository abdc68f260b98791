package forward

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// ServerOptions says what a Server serves and what it tolerates.
type ServerOptions struct {
	// Handler answers every request: by writing ctx.Response, or by passing ctx to an Upstream.
	// It must not keep ctx. ctx.Hijack, ctx.TimeoutError and streams for bodies do not work here: see GoLive.
	Handler fasthttp.RequestHandler
	// TrustedProxies are the peers whose X-Forwarded-* headers are believed. A peer on a unix
	// socket is always one of them.
	TrustedProxies []netip.Prefix
	Limits         Limits
	Log            *slog.Logger          // nil: discarded
	Metrics        prometheus.Registerer // nil: not registered
}

// Limits bound what one client may take. What is not positive means the default.
type Limits struct {
	HeaderTimeout        time.Duration // from the first byte of a head to its last, and for the first head of a connection
	IdleTimeout          time.Duration // a kept-alive connection without a request
	BodyTimeout          time.Duration // the time in which MinProgress bytes of a request body must arrive
	WriteTimeout         time.Duration // the time in which a client must take one buffer (at most 32 KiB)
	MinProgress          int           // bytes
	HeaderBytes          int           // request line and header lines together
	HeaderFields         int           // header lines
	TargetBytes          int           // the request target
	ConnectionsPerClient int           // per client address (IPv6: per /64), never per trusted proxy
	Connections          int           // all clients together
}

func (l Limits) orDefault() Limits {
	return Limits{
		HeaderTimeout:        positive(l.HeaderTimeout, 10*time.Second),
		IdleTimeout:          positive(l.IdleTimeout, 60*time.Second),
		BodyTimeout:          positive(l.BodyTimeout, 30*time.Second),
		WriteTimeout:         positive(l.WriteTimeout, 60*time.Second),
		MinProgress:          positive(l.MinProgress, 1<<10),
		HeaderBytes:          positive(l.HeaderBytes, 32<<10),
		HeaderFields:         positive(l.HeaderFields, 128),
		TargetBytes:          positive(l.TargetBytes, 16<<10),
		ConnectionsPerClient: positive(l.ConnectionsPerClient, 256),
		Connections:          positive(l.Connections, 65536),
	}
}

// pace is that of a request body whose reads g limits.
func (l *Limits) pace(g *guard) pace {
	return pace{g: g, patience: l.BodyTimeout, progress: l.MinProgress}
}

// positive is v, or where that says nothing, the default.
func positive[T int | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// UpstreamOptions names an upstream and how long to wait for it.
type UpstreamOptions struct {
	URL           string                // http://host:port or unix:/path (upstream.web, upstream.streaming)
	HideCookie    string                // what the names of the gateway's own cookies begin with: removed from what is forwarded; empty: none
	DialTimeout   time.Duration         // default 5 s
	HeaderTimeout time.Duration         // until the reply's head, after the request is sent; default 60 s; then 504
	StallTimeout  time.Duration         // a reply body without a byte; default 5 min; event streams have none
	IdleTimeout   time.Duration         // how long an unused connection is kept; default 15 s
	MaxIdle       int                   // unused connections kept; default 256
	HeaderBytes   int                   // a reply's head; default 256 KiB
	Log           *slog.Logger          // nil: discarded
	Metrics       prometheus.Registerer // nil: not registered; two upstreams may share one
}

// Edit is how PassEdited changes a document on its way to the client.
type Edit struct {
	// Document gets a whole reply and returns the new body, or false to let the reply pass as it is.
	// Reply is borrowed and valid only during the call.
	Document func(Reply) ([]byte, bool)
	// MaxBytes is the largest document looked at; larger ones pass untouched. Default 1 MiB.
	MaxBytes int
	// Origin is who may read a changed document from a web page when the reply does not say
	// (Access-Control-Allow-Origin); empty: nobody.
	Origin string
}

// Reply is an upstream's answer as Edit.Document sees it. All bytes are borrowed.
type Reply struct {
	Status int
	Body   []byte
	head   *head
}

// Header returns the value of the first header line called name in any case, or nil.
func (r Reply) Header(name string) []byte { return r.head.value(name) }
