// Command demo shows the way of an encrypted message on one machine: two sample
// instances on loopback, each behind a real gateway, and two MLS clients that talk
// through them. It needs the sealgate binary and nothing else, tells each step, and
// leaves everything running to try until Ctrl-C.
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

	"github.com/sealgate/sealgate/cmd/demo/instance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run tells the story to out. It stops what it started, whatever happens.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	binary := flags.String("gateway", "bin/sealgate", "the gateway's binary, as `make build` leaves it")
	once := flags.Bool("once", false, "end after the story instead of leaving everything running")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read the command line: %w", err)
	}
	path, err := filepath.Abs(*binary)
	if err != nil {
		return fmt.Errorf("find %s: %w", *binary, err)
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("%w; build it with `make build` or name it with --gateway", err)
	}
	directory, err := os.MkdirTemp("", "sealgate-demo-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	return perform(ctx, path, directory, newTale(out), *once)
}

// perform opens both places, tells the story, and waits unless once.
func perform(ctx context.Context, binary, directory string, t *tale, once bool) (err error) { //nolint:revive // once is the flag itself
	t.step("Two sample instances start, each behind its own gateway.")
	here, err := open(ctx, binary, directory, instance.Numeric)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, here.close()) }()
	there, err := open(ctx, binary, directory, instance.Named)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, there.close()) }()
	t.factf("Alice lives at %s (actors are spelled as Mastodon 4.5 does)", there.gateway.URL)
	t.factf("Bob lives at   %s (as Mastodon 4.6 does)", here.gateway.URL)

	s, err := newStory(here, there, t)
	if err != nil {
		return err
	}
	if err := s.tell(ctx); err != nil {
		return err
	}
	if once {
		return nil
	}
	s.invite(directory)
	<-ctx.Done()
	t.step("Stopping.")
	return nil
}
