package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/policy/ratelimit"
)

const proxyPath = "/e2ee/proxy"

// looking is what fetches for local people, each within a budget.
type looking struct {
	outside  *Outside
	internal []string // host:port where the instance and the operator listen
	budget   *ratelimit.Limiter
}

func newLooking(outside *Outside, internal []string) *looking {
	if outside == nil {
		return nil
	}
	return &looking{outside: outside, internal: internal, budget: ratelimit.New(ratelimit.Options{
		Rate: ratelimit.Rate{Max: 300, Every: time.Minute, Burst: 120},
	})}
}

var (
	errAddress  = errors.New("relay: not an address that may be asked")
	errLookedUp = errors.New("relay: too many documents in a short time")
)

// lookUp answers POST /e2ee/proxy: one document, for the person who asks and nobody else. Nothing
// is kept, so that nobody learns from an answer's speed what others looked at.
func (r *Relay) lookUp(work context.Context, ctx *fasthttp.RequestCtx) error {
	target, err := r.lookedFor(work, ctx)
	if err != nil {
		return err
	}
	if r.people.IsLocal(target.String()) {
		return r.lookInside(work, ctx, target)
	}
	body, err := r.looking.outside.document(work, target.String())
	if err == nil {
		writeActivity(ctx, "private, no-store", body)
	}
	return err
}

// lookedFor is the address to fetch, for a caller who may and has not asked too often.
func (r *Relay) lookedFor(work context.Context, ctx *fasthttp.RequestCtx) (*url.URL, error) {
	caller, err := r.reader(work, ctx)
	if err != nil {
		return nil, err
	}
	if wait := r.looking.budget.Take(r.looking.budget.Of(caller.Account), r.clock()); wait > 0 {
		return nil, errLookedUp
	}
	form, err := readForm(ctx)
	if err != nil {
		return nil, err
	}
	return r.looking.address(form.Get("id"))
}

// address reads an id that may be asked for: http or https, not where the instance itself listens.
// Whether the address behind a name is public, the client finds out when it connects.
func (l *looking) address(id string) (*url.URL, error) {
	u, err := url.Parse(id)
	isWeb := err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil
	if !isWeb || len(id) > maxFetchedURL {
		return nil, fmt.Errorf("%w: id must be the URL of a document", errAddress)
	}
	u.Fragment, u.RawFragment = "", ""
	if slices.Contains(l.internal, hostPort(u)) {
		return nil, fmt.Errorf("%w: it is not public", errAddress)
	}
	return u, nil
}

// hostPort is a URL's host and port, always with the port, addresses in their one spelling.
func hostPort(u *url.URL) string {
	host, port := strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if a, err := netip.ParseAddr(host); err == nil {
		host = a.Unmap().String()
	}
	return host + ":" + port
}

// lookInside answers for our own URLs without going through the network: ours with the caller's
// rights, as if they had been asked for, the instance's as anybody may see them.
func (r *Relay) lookInside(work context.Context, ctx *fasthttp.RequestCtx, target *url.URL) error {
	uri := target.RequestURI()
	if d := r.routeOf([]byte(http.MethodGet), []byte(uri)); isCollection(d.route) {
		ctx.Request.Header.SetMethod(http.MethodGet)
		ctx.Request.SetRequestURI(uri)
		ctx.Request.Header.Set(fasthttp.HeaderAccept, activityJSON)
		return r.answer(work, ctx, d)
	}
	if strings.HasPrefix(target.Path, "/e2ee/") {
		return errNotThere
	}
	body, err := r.people.Document(work, uri, r.looking.outside.Sign)
	if err != nil {
		return err
	}
	if len(body) == 0 || body[0] != '{' {
		return errNotThere
	}
	if edited, ok := r.editActor(body); ok {
		body = edited
	}
	writeActivity(ctx, "private, no-store", body)
	return nil
}

// isCollection tells which of our own routes are documents to be read.
func isCollection(name route) bool {
	switch name {
	case routeMessages, routeThread, routeActivities, routeObjects, routeKeyPackages, routeKeyPackage, routeOwnActor:
		return true
	}
	return false
}
