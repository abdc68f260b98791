package forward

import (
	"context"
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"
)

type head struct{}

func (h *head) value(string) []byte { return nil }

// Server accepts clients and serves their requests.
type Server struct{}

// NewServer returns a Server that is ready to Serve.
func NewServer(o ServerOptions) *Server { return &Server{} }

// Serve serves l until ctx is done or Shutdown is called; several calls with different listeners may run at once.
// It returns nil after Shutdown.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return nil }

// Shutdown stops listening, lets running requests and tunnels finish until ctx is done, and cuts what is left.
func (s *Server) Shutdown(ctx context.Context) error { return nil }

// Listen opens host:port or unix:/path.
func Listen(ctx context.Context, address string) (net.Listener, error) { return nil, nil }

// ProxyProtocol wraps l so that trusted peers' PROXY protocol headers (v1 and v2) name the client.
func ProxyProtocol(l net.Listener, trusted []netip.Prefix) net.Listener { return l }

// Upstream is the instance behind the gateway.
type Upstream struct{}

// NewUpstream returns the Upstream at o.URL. It does not dial.
func NewUpstream(o UpstreamOptions) (*Upstream, error) { return &Upstream{}, nil }

// Close ends the kept connections.
func (u *Upstream) Close() error { return nil }

// Pass forwards ctx's request and its reply, streaming both bodies.
func (u *Upstream) Pass(ctx *fasthttp.RequestCtx) {}

// PassBody is Pass for a request whose body was read whole.
func (u *Upstream) PassBody(ctx *fasthttp.RequestCtx, body []byte) {}

// PassEdited is Pass for a GET or HEAD whose reply e may change.
func (u *Upstream) PassEdited(ctx *fasthttp.RequestCtx, e Edit) {}

// ClientAddr returns the client's address, behind trusted proxies the one they name.
func ClientAddr(ctx *fasthttp.RequestCtx) netip.Addr { return netip.Addr{} }
