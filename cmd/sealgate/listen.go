package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sealgate/sealgate/relay/forward"
)

// adminHeaderTimeout bounds a request's head on the operator's listeners.
const adminHeaderTimeout = 5 * time.Second

// run listens, serves until ctx ends, and stops in order: readiness red, public requests drained,
// the operator's listeners, the store last.
func (g *gateway) run(ctx context.Context) error {
	public, err := g.listenPublic(ctx)
	if err != nil {
		return errors.Join(err, g.close())
	}
	operator, err := g.listenOperator(ctx)
	if err != nil {
		return errors.Join(err, public.close(), g.close())
	}
	group, running := errgroup.WithContext(ctx)
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	g.servePublic(serving, group, public)
	working, stopWorking := context.WithCancel(serving)
	defer stopWorking()
	rested := g.work(working, group)
	for _, o := range operator {
		group.Go(func() error { return serveOperator(o) })
	}
	g.log.Info("ready", "domain", g.config.Domain, "version", version, "admin", string(g.config.Admin.Listen))
	group.Go(func() error {
		<-running.Done()
		defer stopServing()
		return g.drain(operator, func() {
			stopWorking()
			<-rested
		})
	})
	err = group.Wait()
	return errors.Join(err, g.close())
}

// work runs what works beside the requests, until ctx ends. The channel closes when all of it has.
func (g *gateway) work(ctx context.Context, group *errgroup.Group) <-chan struct{} {
	workers, within := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{g.outbox.Run, g.gate.Run, g.runPolicy, g.runDoor, g.known.Run, giveBack} {
		workers.Go(func() error { return run(within) })
	}
	rested := make(chan struct{})
	group.Go(func() error {
		defer close(rested)
		return workers.Wait()
	})
	return rested
}

// servePublic serves the public listeners in goroutines of group.
func (g *gateway) servePublic(ctx context.Context, group *errgroup.Group, public endpoints) {
	for _, l := range public.front {
		group.Go(func() error { return g.front.Serve(ctx, l) })
		g.log.Info("listening", "address", l.Addr().String())
	}
	for _, l := range public.plain {
		group.Go(func() error { return g.plain.Serve(ctx, l) })
		g.log.Info("listening", "address", l.Addr().String(), "only", "redirects")
	}
	if g.certificates != nil {
		group.Go(func() error { return g.certificates.Run(ctx) })
	}
}

// drain lets what is under way finish within shutdown_timeout. As soon as only tunnels are left, rest ends the
// workers, and the operator's listeners and the store are given up: a successor that inherited the sockets
// waits for them.
func (g *gateway) drain(operator []endpoint, rest func()) error {
	g.log.Info("stopping", "timeout", g.config.ShutdownTimeout.String())
	g.admin.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(g.config.ShutdownTimeout))
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- g.stopPublic(ctx) }() // awaited below
	<-g.front.Drained()
	rest()
	var errs []error
	for _, o := range operator {
		errs = append(errs, o.server.Close())
	}
	if ctx.Err() == nil {
		errs = append(errs, g.closeKept())
	}
	err := <-stopped
	if errors.Is(err, context.DeadlineExceeded) {
		g.log.Warn("connections were cut at shutdown_timeout")
		err = nil
	}
	return errors.Join(append(errs, err)...)
}

func (g *gateway) stopPublic(ctx context.Context) error {
	var err error
	if g.plain != nil {
		err = g.plain.Shutdown(ctx)
	}
	return errors.Join(g.front.Shutdown(ctx), err)
}

func closeAll(open []net.Listener) error {
	var errs []error
	for _, l := range open {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// endpoint is one of the operator's two listeners with its server.
type endpoint struct {
	listener net.Listener
	server   *http.Server
}

func (g *gateway) listenOperator(ctx context.Context) ([]endpoint, error) {
	tcp, err := forward.Listen(ctx, string(g.config.Admin.Listen))
	if err != nil {
		return nil, fmt.Errorf("listen on %s (admin.listen): %w", g.config.Admin.Listen, err)
	}
	socket, err := listenSocket(ctx, g.config.Admin.Socket)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s (admin.socket): %w", g.config.Admin.Socket, err), tcp.Close())
	}
	return []endpoint{
		{tcp, &http.Server{Handler: g.admin.Handler(), ReadHeaderTimeout: adminHeaderTimeout}},
		{socket, &http.Server{Handler: g.admin.Commands(), ReadHeaderTimeout: adminHeaderTimeout}},
	}, nil
}

// listenSocket opens the socket of the program's own commands, for its owner alone: the directory
// and the socket let nobody else in.
func listenSocket(ctx context.Context, path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return forward.ListenPrivately(ctx, path)
}

func serveOperator(o endpoint) error {
	if err := o.server.Serve(o.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", o.listener.Addr(), err)
	}
	return nil
}
