// Command bench measures on one machine, in one run, what a gateway costs beside
// others, and prints the ratios. It needs the sealgate binary, nginx and wrk.
//
// Forwarding: the same upstream behind nginx, Caddy, the standard library's
// reverse proxy and Sealgate, by wrk, and what a herd of idle connections costs.
//
// Intake: signed MLS activities over keep-alive connections, each on disk before
// it is answered, beside an nginx that answers 202 to the same bytes and throws
// them away.
//
// Overload: twice as much as the gateway can take, of messages of groups and of
// invitations, while ordinary requests go on, beside the same through an nginx.
//
// Sending: messages to a large group, beside a plain net/http loop that posts the same
// bodies, and beside a queue for a dead host.
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
	"time"
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
	caddy       string
	duration    time.Duration
	rounds      int
	herd        int
	only        string
	flood       time.Duration
	processors  string // of the gateway in the overload benchmark; empty: all
	httputil    string // run as the standard library's proxy, with this file
	standing    string // run as a herd before this address
	pressing    bool   // offer the requests of the overload benchmark
	posting     bool   // run as the plain loop of the sending benchmark
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o := options{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.binary, "gateway", "bin/sealgate", "the gateway's binary, as `make build` leaves it")
	flags.StringVar(&o.nginx, "nginx", "nginx", "the nginx to compare with")
	flags.IntVar(&o.requests, "requests", 10000, "how many activities to sign and send")
	flags.IntVar(&o.connections, "connections", 64, "keep-alive connections")
	flags.IntVar(&o.people, "people", 8, "local recipients to spread the activities over")
	flags.StringVar(&o.caddy, "caddy", "", "the Caddy to compare with; empty leaves it out")
	flags.DurationVar(&o.duration, "duration", 3*time.Second, "of one run of wrk, whole seconds")
	flags.IntVar(&o.rounds, "rounds", 3, "how often the fronts take turns")
	flags.IntVar(&o.herd, "herd", 9900, "idle keep-alive connections")
	flags.StringVar(&o.only, "only", "", "forward, intake, overload or send; empty is all")
	flags.DurationVar(&o.flood, "flood", 5*time.Second, "overload: for how long twice as much is offered as can be taken")
	flags.StringVar(&o.processors, "processors", "", "the processors for the gateway alone while it is overloaded (taskset); run the bench itself on others")
	flags.StringVar(&o.httputil, "httputil", "", "for the bench's own use")
	flags.BoolVar(&o.pressing, "pressing", false, "for the bench's own use")
	flags.BoolVar(&o.posting, "posting", false, "for the bench's own use")
	flags.StringVar(&o.standing, "standing", "", "for the bench's own use")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read the command line: %w", err)
	}
	switch {
	case o.httputil != "":
		return serveHTTPUtil(ctx, o.httputil)
	case o.pressing:
		return runPressure(ctx, os.Stdin, out)
	case o.posting:
		return runErrands(ctx, os.Stdin, out)
	case o.standing != "":
		return stand(o.standing, o.herd)
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
	if err := allowAll(directory); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	if err := os.Chmod(directory, 0o755); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	for _, part := range []struct {
		name string
		run  func(context.Context, options, string, io.Writer) error
	}{{"forward", forwarding}, {"intake", intake}, {"overload", overload}, {"send", sending}} {
		if o.only != "" && o.only != part.name {
			continue
		}
		if err := part.run(ctx, o, directory, out); err != nil {
			return err
		}
	}
	return nil
}

// allowAll sets gateways up for one actor who sends what a thousand do elsewhere.
func allowAll(directory string) error {
	rules := filepath.Join(directory, "policy.yaml")
	return errors.Join(
		os.WriteFile(rules, []byte("version: 1\nrules: []\n"), 0o644),
		os.Setenv("SEALGATE_POLICY_FILE", rules),
		os.Setenv("SEALGATE_LIMITS_SIGNED_REQUESTS", "100000000/min"),
		os.Setenv("SEALGATE_MAILBOX_QUOTA", "4GiB"),
	)
}
