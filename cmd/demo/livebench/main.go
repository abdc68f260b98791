// Command livebench measures the gateway's event streams: the memory of idle ones, how many clients
// reconnect in a second, and the time from the 202 for a message to its event.
//
//	go build -o bin/sealgate ./cmd/sealgate && go run ./cmd/demo/livebench -binary bin/sealgate
//
// It starts a real gateway on loopback in front of a double of an instance, and signs as a sample
// instance does. The load comes from the same machine and counts against it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/gateway"
	"github.com/sealgate/sealgate/cmd/demo/instance"
)

type options struct {
	binary  string
	streams int
	again   int
	rate    int
	seconds int
	readers int
}

func main() {
	var o options
	flag.StringVar(&o.binary, "binary", "bin/sealgate", "`PATH` of the gateway")
	flag.IntVar(&o.streams, "streams", 10_000, "idle streams")
	flag.IntVar(&o.again, "reconnects", 5_000, "streams opened and closed one after the other")
	flag.IntVar(&o.rate, "rate", 300, "messages a second")
	flag.IntVar(&o.seconds, "seconds", 8, "how long messages are sent")
	flag.IntVar(&o.readers, "readers", 200, "people who get them, one stream each")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "livebench:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to stop
	}
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	directory, err := os.MkdirTemp("", "livebench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	s, err := newScene(ctx, o, directory)
	defer func() { err = errors.Join(err, s.close()) }()
	if err != nil {
		return err
	}
	for _, measure := range []func(context.Context, options, io.Writer) error{s.idle, s.reconnects, s.latency} {
		if err := measure(ctx, o, out); err != nil {
			return err
		}
	}
	return nil
}

// scene is a sender's instance, a double of the local one, and the gateway before it.
type scene struct {
	sender  *instance.Person
	host    string
	gateway *gateway.Process
	servers []*http.Server
}

func newScene(ctx context.Context, o options, directory string) (*scene, error) {
	s := &scene{}
	address, err := gateway.FreeAddress(ctx)
	if err != nil {
		return s, err
	}
	far := instance.New(instance.Options{Origin: "http://" + address})
	if s.sender, err = far.AddPerson("sender"); err != nil {
		return s, err
	}
	if _, err := s.serve(ctx, far, address); err != nil {
		return s, err
	}
	if s.host, err = gateway.FreeAddress(ctx); err != nil {
		return s, err
	}
	upstream, err := s.serve(ctx, crowd{s.host}, "127.0.0.1:0")
	if err != nil {
		return s, err
	}
	if err := os.Setenv("SEALGATE_LIMITS_SIGNED_REQUESTS", "100000000/min"); err != nil { // one actor sends what a thousand do elsewhere
		return s, fmt.Errorf("lift a limit: %w", err)
	}
	s.gateway, err = gateway.Start(ctx, gateway.Options{
		Binary: o.binary, Directory: directory, Listen: s.host, Upstream: "http://" + upstream,
	})
	return s, err
}

func (s *scene) close() error {
	var err error
	if s.gateway != nil {
		err = s.gateway.Stop()
	}
	for _, server := range s.servers {
		err = errors.Join(err, server.Close())
	}
	return err
}

const patience = 30 * time.Second
