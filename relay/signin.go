package relay

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/metric"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/relay/forward"
)

// Where people sign in. The paths are in metadata and in actor documents.
const (
	authorizePath = "/e2ee/oauth/authorize"
	tokenPath     = "/e2ee/oauth/token"  //nolint:gosec // a path, not a token
	revokePath    = "/e2ee/oauth/revoke" // RFC 7009
	callbackPath  = "/e2ee/oauth/callback"
	sessionPath   = "/e2ee/session"                                      // of pages on our own origin
	metadataPath  = "/.well-known/oauth-authorization-server/e2ee/oauth" // RFC 8414 §3.1

	rootAuthorizePath = "/oauth/authorize" // the instance's, but for clients named by a URL
	rootTokenPath     = "/oauth/token"     //nolint:gosec // a path, not a token
)

// maxForm bounds the forms of a sign-in, in bytes.
const maxForm = 32 << 10

// signIn is the front of the gateway's authorization server.
type signIn struct {
	server *oauth.Server
	pages  *template.Template
	asks   *ratelimit.Limiter // of pages and forms, per client address
	total  *prometheus.CounterVec
	cookie string // of a sign-in under way
}

func newSignIn(server *oauth.Server, base string, registry prometheus.Registerer) *signIn {
	if server == nil {
		return nil
	}
	return &signIn{
		server: server, pages: newPages(), cookie: CookiePrefix(base) + "-sign-in",
		asks:  ratelimit.New(ratelimit.Options{Rate: ratelimit.Rate{Max: 120, Every: time.Minute, Burst: 60}}),
		total: metric.Counter(registry, "sealgate_sign_ins_total", "Steps of sign-ins, by step and result.", "step", "result"),
	}
}

// signInRoute finds what belongs to signing in. It allocates nothing.
func (r *Relay) signInRoute(method, path []byte) (destination, bool) {
	if r.signIn == nil {
		return destination{}, false
	}
	switch string(path) {
	case authorizePath, callbackPath, sessionPath:
		return destination{route: routeAuthorize, name: path}, true
	case tokenPath, revokePath:
		return destination{route: routeToken, name: path}, true
	case metadataPath:
		return destination{route: routeMetadata}, true
	case rootAuthorizePath:
		return destination{route: routeAuthorize, name: path}, isRead(method)
	case rootTokenPath:
		return destination{route: routeToken, name: path}, isPost(method)
	}
	return destination{}, false
}

// serveSignIn answers for a route of signInRoute.
func (r *Relay) serveSignIn(ctx *fasthttp.RequestCtx, d destination) {
	work, cancel := context.WithTimeout(context.Background(), workTimeout)
	defer cancel()
	path := string(d.name)
	switch d.route {
	case routeMetadata:
		r.oauthMetadata(ctx)
	case routeToken:
		r.tokenRequest(work, ctx, path)
	default:
		r.authorizeRequest(work, ctx, path)
	}
}

// count counts one step.
func (s *signIn) count(step string, err error) {
	s.total.WithLabelValues(step, resultOf(err)).Inc()
}

// resultOf is an error in one word, for the metrics.
func resultOf(err error) string {
	if refusal, ok := errors.AsType[*oauth.Refusal](err); ok {
		return refusal.Code
	}
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, oauth.ErrClient):
		return "client"
	case errors.Is(err, oauth.ErrBrowser):
		return "browser"
	case errors.Is(err, errTooOften):
		return "limit"
	case errors.Is(err, mastodon.ErrToken), errors.Is(err, mastodon.ErrScope):
		return "instance_refused"
	}
	return "unavailable"
}

var (
	errTooOften = errors.New("relay: too many sign-ins from one address")
	errForm     = errors.New("relay: the form cannot be read")
)

// admitSignIn counts one request of a client address.
func (r *Relay) admitSignIn(ctx *fasthttp.RequestCtx) error {
	if wait := r.signIn.asks.Take(r.signIn.asks.OfAddr(forward.ClientAddr(ctx)), r.clock()); wait > 0 {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, seconds(wait))
		return errTooOften
	}
	return nil
}

// readForm reads a form (application/x-www-form-urlencoded). A parameter given twice is an error
// (OAuth 2.1 §3.1).
func readForm(ctx *fasthttp.RequestCtx) (url.Values, error) {
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return url.Values{}, nil
	}
	body, err := io.ReadAll(io.LimitReader(stream, maxForm+1))
	if err != nil || len(body) > maxForm {
		ctx.SetConnectionClose()
		return nil, fmt.Errorf("%w: it is cut short or over %d bytes", errForm, maxForm)
	}
	if !containsFold(ctx.Request.Header.ContentType(), "application/x-www-form-urlencoded") {
		return nil, fmt.Errorf("%w: send application/x-www-form-urlencoded", errForm)
	}
	return once(string(body))
}

// once reads a query or form in which no parameter comes twice.
func once(text string) (url.Values, error) {
	form, err := url.ParseQuery(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errForm, err)
	}
	for name, values := range form {
		if len(values) > 1 {
			return nil, fmt.Errorf("%w: %q comes twice", errForm, name)
		}
	}
	return form, nil
}
