// Command bench measures on one machine, in one run, what a gateway costs beside
// a plain nginx, and prints the ratios. It needs the sealgate binary and nginx.
//
// So far it measures durable intake: signed MLS activities over keep-alive
// connections, each on disk before it is answered, beside an nginx that answers
// 202 to the same bytes and throws them away.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	binary      string
	nginx       string
	requests    int
	connections int
	people      int
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o := options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.binary, "gateway", "bin/sealgate", "the gateway's binary, as `make build` leaves it")
	flags.StringVar(&o.nginx, "nginx", "nginx", "the nginx to compare with")
	flags.IntVar(&o.requests, "requests", 10000, "how many activities to sign and send")
	flags.IntVar(&o.connections, "connections", 64, "keep-alive connections")
	flags.IntVar(&o.people, "people", 8, "local recipients to spread the activities over")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read the command line: %w", err)
	}
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return fmt.Errorf("find the gateway: %w", err)
	}
	if _, err := os.Stat(o.binary); err != nil {
		return fmt.Errorf("%w; build it with `make build` or name it with --gateway", err)
	}
	directory, err := os.MkdirTemp("", "sealgate-bench-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	return intake(ctx, o, directory, out)
}
