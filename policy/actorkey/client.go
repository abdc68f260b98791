package actorkey

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/metric"
)

// maxRedirects is how often a fetch may be sent on.
const maxRedirects = 3

// ErrRefused means that the client does not go there: the address, the port or the scheme is none of the public
// internet's, or there were too many redirects. A host of several addresses is refused when all of them are.
var ErrRefused = errors.New("refused by the federation client")

// errPartly: the addresses that were not refused did not answer.
var errPartly = errors.New("no answer at some addresses, and others are refused by the federation client")

// ErrTooLarge means that an answer is longer than whoever asked reads.
var ErrTooLarge = errors.New("answer is larger than accepted")

// maxDocument is what is read of a body when nothing else is said.
const maxDocument = 1 << 20

// ClientOptions configure the federation client.
type ClientOptions struct {
	Timeout        time.Duration    // of a whole exchange, body included; 0: 10 s (federation.timeout)
	MaxBytes       int64            // of a body, after decompression; 0: 1 MiB
	AllowPlainHTTP bool             // http URLs and port 80 (federation.allow_plain_http)
	AllowNetworks  []netip.Prefix   // exempt from the ban on private addresses and from the port rule (federation.allow_networks)
	Refuse         []netip.AddrPort // never connected to, exempt network or not
	UserAgent      string           // "" leaves net/http's
	Metrics        prometheus.Registerer
}

// NewClient returns the client for everything fetched from or delivered to
// other servers. It speaks https to port 443 of public addresses and nothing
// else: the address is judged after the name was resolved, for the connection
// that is really made, and again on every redirect, of which GET and HEAD may
// take three and other methods none. It uses no proxy and keeps no cookies.
// Refusals are counted in sealgate_dial_refused_total{reason}.
func NewClient(o ClientOptions) *http.Client {
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = maxDocument
	}
	g := &guard{options: o, dialer: net.Dialer{Timeout: o.Timeout}}
	g.refused = metric.Counter(o.Metrics, "sealgate_dial_refused_total", "Outgoing connections refused before they were made, by reason.", "reason")
	g.next = &http.Transport{
		DialContext:            g.dial,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    o.Timeout,
		ResponseHeaderTimeout:  o.Timeout,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    4,
		MaxConnsPerHost:        32,
		IdleConnTimeout:        30 * time.Second,
	}
	return &http.Client{Transport: g, Timeout: o.Timeout, CheckRedirect: g.redirect}
}

// guard stands before the transport and inside its dialer.
type guard struct {
	options ClientOptions
	dialer  net.Dialer
	refused *prometheus.CounterVec
	next    *http.Transport
}

// RoundTrip refuses URLs that need no resolving to be wrong, and caps bodies.
// The body that is counted is the decompressed one: a bomb bursts at the cap.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := g.checkURL(req); err != nil {
		return nil, err
	}
	if g.options.UserAgent != "" && req.Header.Get("User-Agent") == "" {
		req = req.Clone(req.Context())
		req.Header.Set("User-Agent", g.options.UserAgent)
	}
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &capped{ReadCloser: resp.Body, left: g.options.MaxBytes}
	return resp, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the transport.
func (g *guard) CloseIdleConnections() { g.next.CloseIdleConnections() }

func (g *guard) checkURL(req *http.Request) error {
	switch {
	case req.URL.User != nil:
		return g.refuse("userinfo", "URL with a user name")
	case req.URL.Scheme == "https":
		return nil
	case req.URL.Scheme == "http" && g.options.AllowPlainHTTP:
		return nil
	default:
		return g.refuse("scheme", fmt.Sprintf("scheme %q (configuration key federation.allow_plain_http)", req.URL.Scheme))
	}
}

// redirect follows GET and HEAD three times.
func (g *guard) redirect(req *http.Request, via []*http.Request) error {
	if m := via[0].Method; m != http.MethodGet && m != http.MethodHead {
		return http.ErrUseLastResponse
	}
	if len(via) > maxRedirects {
		return g.refuse("redirects", fmt.Sprintf("more than %d redirects", maxRedirects))
	}
	return g.checkURL(req)
}

// dial connects to one of a host's addresses.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var isOpen atomic.Bool
	dialer := g.dialer
	dialer.ControlContext = func(_ context.Context, network, address string, _ syscall.RawConn) error {
		err := g.control(network, address)
		if err == nil {
			isOpen.Store(true)
		}
		return err
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if errors.Is(err, ErrRefused) && isOpen.Load() {
		err = errPartly
	}
	return conn, err
}

// control judges the address that is about to be connected to.
func (g *guard) control(network, address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp4" && network != "tcp6" && network != "tcp") {
		return g.refuse("address", fmt.Sprintf("address %q", address))
	}
	addr := ap.Addr().WithZone("")
	if slices.Contains(g.options.Refuse, netip.AddrPortFrom(addr.Unmap(), ap.Port())) {
		return g.refuse("internal", "address of the instance or the operator (configuration keys upstream, admin.listen)")
	}
	for _, p := range g.options.AllowNetworks {
		if p.Contains(addr) || p.Contains(addr.Unmap()) {
			return nil
		}
	}
	if reason := Forbidden(ap.Addr()); reason != "" {
		return g.refuse(reason, fmt.Sprintf("%s address (configuration key federation.allow_networks)", reason))
	}
	if ap.Port() == 443 || (ap.Port() == 80 && g.options.AllowPlainHTTP) {
		return nil
	}
	return g.refuse("port", fmt.Sprintf("port %d (configuration key federation.allow_networks)", ap.Port()))
}

func (g *guard) refuse(reason, why string) error {
	g.refused.WithLabelValues(reason).Inc()
	return fmt.Errorf("%w: %s", ErrRefused, why)
}

// capped ends a body that is longer than accepted with an error.
type capped struct {
	io.ReadCloser
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left < 0 {
		return 0, ErrTooLarge
	}
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.ReadCloser.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return n - 1, ErrTooLarge
	}
	return n, err
}

// RetryAfter is how long an answer asks to wait, in seconds or until a date (RFC 9110 §10.2.3), at most most; 0: it does not say.
func RetryAfter(res *http.Response, now time.Time, most time.Duration) time.Duration {
	text := res.Header.Get("Retry-After")
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(n, 0), int64(most/time.Second))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), most)
}
