package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// ACMEOptions says whose certificate is wanted and who issues it.
type ACMEOptions struct {
	Domain    string // the name, without port
	Email     string // tls.acme.email; may be empty
	Directory string // tls.acme.directory; empty: Let's Encrypt
	CAFile    string // tls.acme.ca_file: roots for Directory itself; empty: the system's
	Path      string // tls.acme.path: accounts, keys, certificates, OCSP answers
	HTTP      bool   // somebody asks Challenge: a plain listener on port 80
	TLS       bool   // somebody asks Certificate on port 443
	// Check is how often to look whether to renew, and to try again what could not be tried; default 10 min.
	Check   time.Duration
	Log     *slog.Logger          // nil: discarded
	Metrics prometheus.Registerer // nil: not registered
}

// ACME is a certificate that an authority issues and renews. Safe for concurrent use.
type ACME struct {
	o      ACMEOptions
	end    *expiry
	cache  *certmagic.Cache
	magic  *certmagic.Config
	issuer *certmagic.ACMEIssuer
	decoy  net.Listener
}

var (
	errNoChallenge = errors.New("no challenge can be answered: set tls.http, or listen on a TCP address (listen)")
	errNoRoots     = errors.New("no certificate in it")
)

// CheckACME reports what NewACME would fail with. It makes nothing.
func CheckACME(o ACMEOptions) error {
	_, err := o.usable()
	return err
}

// usable returns who vouches for Directory if a certificate can be asked for and kept.
func (o *ACMEOptions) usable() (*x509.CertPool, error) {
	if !o.HTTP && !o.TLS {
		return nil, errNoChallenge
	}
	roots, err := rootsIn(o.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read tls.acme.ca_file: %w", err)
	}
	if err := unix.Access(o.Path, unix.W_OK|unix.X_OK); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("write to tls.acme.path %s: %w", o.Path, err)
	}
	return roots, nil
}

// NewACME prepares for a certificate; Run gets it. Close ends it.
func NewACME(o ACMEOptions) (*ACME, error) {
	roots, err := o.usable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Path, 0o700); err != nil {
		return nil, fmt.Errorf("make tls.acme.path: %w", err)
	}
	if o.Check <= 0 {
		o.Check = certmagic.DefaultRenewCheckInterval
	}
	o.Log = logger(o.Log)
	a := &ACME{o: o}
	if a.decoy, err = openDecoy(); err != nil {
		return nil, err
	}
	log := zap.New(bridge{log: o.Log})
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return a.magic, nil },
		RenewCheckInterval: o.Check,
		Logger:             log,
	})
	a.magic = certmagic.New(a.cache, certmagic.Config{
		Storage:           shelf{&certmagic.FileStorage{Path: o.Path}},
		DefaultServerName: o.Domain, FallbackServerName: o.Domain,
		OnEvent: a.note, Logger: log,
	})
	a.issuer = certmagic.NewACMEIssuer(a.magic, a.template(roots, log))
	a.magic.Issuers = []certmagic.Issuer{a.issuer}
	a.end = newExpiry(o.Metrics, o.Log, "see why it was not renewed: certificate was not issued, certificate manager (tls.acme)", a.shown)
	return a, nil
}

// shelf is tls.acme.path. What cannot be written there names the key.
type shelf struct{ *certmagic.FileStorage }

// Store writes value whole.
func (s shelf) Store(ctx context.Context, key string, value []byte) error {
	if err := s.FileStorage.Store(ctx, key, value); err != nil {
		return fmt.Errorf("write to tls.acme.path: %w", err)
	}
	return nil
}

func (a *ACME) template(roots *x509.CertPool, log *zap.Logger) certmagic.ACMEIssuer {
	decoy := portOf(a.decoy)
	return certmagic.ACMEIssuer{
		CA: a.o.Directory, Email: a.o.Email, Agreed: true, TrustedRoots: roots,
		DisableHTTPChallenge: !a.o.HTTP, DisableTLSALPNChallenge: !a.o.TLS,
		ListenHost: "127.0.0.1", AltHTTPPort: decoy, AltTLSALPNPort: decoy,
		Logger: log,
	}
}

// rootsIn reads PEM certificates; an empty path means the system's.
func rootsIn(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // crypto/tls reads nil as the system's roots
	}
	b, err := readSome(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s: %w", path, errNoRoots)
	}
	return pool, nil
}

// openDecoy listens on a loopback port. certmagic opens listeners of its own for challenges, on all
// addresses, unless somebody listens there already; the gateway's own listeners answer challenges, on
// whatever addresses they have, so certmagic is shown a port that is taken.
func openDecoy() (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() { // ends when Close closes l
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				_ = c.Close() // nothing is said on it
			}
		}
	}()
	return l, nil
}

func portOf(l net.Listener) int {
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

// Run gets the certificate, keeps trying, and renews it, until ctx is done. That its end is near is logged once a day.
func (a *ACME) Run(ctx context.Context) error {
	t := time.NewTicker(a.o.Check)
	defer t.Stop()
	for {
		if err := a.hold(ctx); err != nil && ctx.Err() == nil {
			a.o.Log.Error("certificate was not issued", "name", a.o.Domain, "renewal", false, "error", err)
		}
		a.end.look(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// hold gets the certificate, unless there is one, which certmagic renews by itself. It tries again what the authority
// refused, and nothing else.
func (a *ACME) hold(ctx context.Context) error {
	if a.shown() != nil {
		return nil
	}
	if err := a.magic.ObtainCertAsync(ctx, a.o.Domain); err != nil {
		return err
	}
	return a.magic.ManageAsync(ctx, []string{a.o.Domain})
}

// shown is the certificate that clients get, or nil.
func (a *ACME) shown() *x509.Certificate {
	if held := a.cache.AllMatchingCertificates(a.o.Domain); len(held) > 0 {
		return held[0].Leaf
	}
	return nil
}

// Close ends the renewals. Call it when Run has returned.
func (a *ACME) Close() error {
	a.cache.Stop()
	return a.decoy.Close()
}

// Certificate returns the certificate for hello, or the answer to a TLS-ALPN-01 challenge.
func (a *ACME) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return a.magic.GetCertificate(hello)
}

// Protocols has that of TLS-ALPN-01 (RFC 8737 §3).
func (a *ACME) Protocols() []string { return []string{protoACME} }

// Challenge answers a GET of path, below /.well-known/acme-challenge/, if it is an HTTP-01 challenge that
// somebody with the same tls.acme.path is waiting for.
func (a *ACME) Challenge(path string) ([]byte, bool) {
	var w answer
	r := &http.Request{Method: http.MethodGet, Host: a.o.Domain, URL: &url.URL{Path: path}}
	ok := strings.HasPrefix(path, challengePath) && a.issuer.HandleHTTPChallenge(&w, r)
	return w.body, ok
}

// answer takes what certmagic would answer.
type answer struct {
	header http.Header
	body   []byte
}

func (w *answer) WriteHeader(int) {}

func (w *answer) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

func (w *answer) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}

// note logs what operators want to know about.
func (a *ACME) note(_ context.Context, event string, data map[string]any) error {
	switch event {
	case "cert_obtained":
		a.o.Log.Info("certificate was issued", "name", data["identifier"], "renewal", data["renewal"])
	case "cert_failed":
		a.o.Log.Error("certificate was not issued", "name", data["identifier"], "renewal", data["renewal"], "error", data["error"])
	}
	return nil
}
