package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/relay/edge"
	"github.com/sealgate/sealgate/relay/forward"
	"github.com/sealgate/sealgate/storage"
)

// openEdge gets what the gateway needs to be the TLS edge itself, if tls.mode says so.
func (g *gateway) openEdge() error {
	switch g.config.TLS.Mode {
	case "files":
		files, err := edge.NewFiles(edge.FilesOptions{
			Certificate: g.config.TLS.Certificate, Key: g.config.TLS.Key, Domain: hostOf(g.config.Domain),
			Log: g.log, Metrics: g.metrics,
		})
		if err != nil {
			return err
		}
		g.certificates = files
		g.openPlain(nil)
	case "acme":
		acme, err := edge.NewACME(acmeOptions(g.config, g.log, g.metrics))
		if err != nil {
			return err
		}
		g.later(acme.Close)
		g.certificates = acme
		g.openPlain(acme.Challenge)
	}
	return nil
}

func acmeOptions(config configs.Config, log *slog.Logger, metrics prometheus.Registerer) edge.ACMEOptions {
	a := config.TLS.ACME
	o := edge.ACMEOptions{
		Domain: hostOf(config.Domain), Email: a.Email, Directory: a.Directory, CAFile: a.CAFile, Path: a.Path,
		HTTP: len(config.TLS.HTTP) > 0, Log: log, Metrics: metrics,
	}
	for _, l := range config.Listen {
		network, _ := l.Split()
		o.TLS = o.TLS || network == "tcp"
	}
	return o
}

// hostOf is domain without the port that it may have on loopback.
func hostOf(domain string) string {
	if host, _, err := net.SplitHostPort(domain); err == nil {
		return host
	}
	return domain
}

// openPlain makes the server of tls.http.
func (g *gateway) openPlain(challenge func(path string) ([]byte, bool)) {
	redirect := edge.Redirect{Base: publicBase(g.config), Challenge: challenge}
	g.plain = forward.NewServer(forward.ServerOptions{
		Handler:        forward.Waiting(redirect.Handle), // a challenge may be in a file
		TrustedProxies: g.config.TrustedProxies, Limits: frontLimits(g.config.Limits),
		Log: g.log, Metrics: g.metrics,
	})
}

// endpoints are the public listeners, each with the server behind it.
type endpoints struct {
	front []net.Listener
	plain []net.Listener // tls.http
}

func (e endpoints) close() error { return closeAll(append(e.front, e.plain...)) }

// listenPublic opens listen and tls.http, with inherited sockets where there are any.
func (g *gateway) listenPublic(ctx context.Context) (e endpoints, err error) {
	open := opener{ctx: ctx, patience: 2 * time.Duration(g.config.Limits.WriteTimeout)}
	if open.inherited, err = edge.Inherit(os.Getpid(), os.LookupEnv); err != nil { //nolint:forbidigo // a protocol of processes, not a setting
		return e, err
	}
	defer func() {
		if err = errors.Join(err, open.inherited.Left()); err != nil {
			err = errors.Join(err, open.inherited.Close(), e.close())
		}
	}()
	for _, a := range g.config.Listen {
		l, err := open.open("listen", string(a))
		if err != nil {
			return e, err
		}
		e.front = append(e.front, g.secure(g.proxied(l)))
	}
	for _, a := range g.config.TLS.HTTP {
		l, err := open.open("tls.http", string(a))
		if err != nil {
			return e, err
		}
		e.plain = append(e.plain, g.proxied(l))
	}
	return e, nil
}

// opener opens one listener after the other.
type opener struct {
	ctx       context.Context //nolint:containedctx // of one call of listenPublic
	inherited *edge.Inherited
	patience  time.Duration // with clients that acknowledge nothing
}

func (o *opener) open(key, address string) (net.Listener, error) {
	l, err := o.find(key, address)
	if err != nil {
		return nil, err
	}
	if err := forward.LoseSilent(l, o.patience); err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s (%s): %w", address, key, err), l.Close())
	}
	return l, nil
}

func (o *opener) find(key, address string) (net.Listener, error) {
	if l, ok := o.inherited.Take(key, address); ok {
		return l, nil
	}
	if l, ok := o.inherited.Next(); ok {
		return l, nil
	}
	l, err := forward.Listen(o.ctx, address)
	if errors.Is(err, fs.ErrPermission) && !strings.HasPrefix(address, "unix:") {
		err = fmt.Errorf("%w; a port below 1024 takes CAP_NET_BIND_SERVICE, as configs/sealgate.service says, or systemd's socket", err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s (%s): %w", address, key, err)
	}
	return l, nil
}

func (g *gateway) proxied(l net.Listener) net.Listener {
	if g.config.ProxyProtocol != "trusted" {
		return l
	}
	return forward.ProxyProtocol(l, g.config.TrustedProxies)
}

// secure puts TLS on l if there are certificates.
func (g *gateway) secure(l net.Listener) net.Listener {
	if g.certificates == nil {
		return l
	}
	limits := g.config.Limits
	return edge.NewListener(l, edge.ListenerOptions{
		Config: edge.Config(g.certificates), Timeout: time.Duration(limits.HeaderTimeout),
		PerClient: limits.ConnectionsPerClient, Log: g.log, Metrics: g.metrics,
	})
}

// openWhenFree opens the store. A program that inherited its sockets (LISTEN_FDS) waits for the one before it,
// which gives the store up when its last request is answered; clients wait in the sockets meanwhile.
func openWhenFree(config configs.Config, o storage.Options) (*storage.Store, error) {
	s, err := openStore(config, o)
	if _, inherits := os.LookupEnv("LISTEN_FDS"); !inherits { //nolint:forbidigo // a protocol of processes, not a setting
		return s, err
	}
	patience := time.NewTimer(time.Duration(config.ShutdownTimeout) + startPatience)
	defer patience.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for errors.Is(err, storage.ErrLocked) {
		select {
		case <-patience.C:
			return nil, err
		case <-look.C:
			s, err = openStore(config, o)
		}
	}
	return s, err
}

// startPatience is how much longer than shutdown_timeout a successor waits.
const startPatience = 10 * time.Second
