package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// forwarding compares the gateway with nginx, Caddy and the standard library before one upstream. The
// fronts take turns, round after round, and the middle of each one's runs counts.
func forwarding(ctx context.Context, o options, directory string, out io.Writer) (err error) {
	directory = filepath.Join(directory, "forward")
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	upstream, stop, err := openSite(ctx, o, directory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var fronts []front
	defer func() {
		for _, f := range fronts {
			err = errors.Join(err, f.stop())
		}
	}()
	for _, name := range o.fronts() {
		f, err := openFront(ctx, o, name, directory, upstream)
		if err != nil {
			return err
		}
		fronts = append(fronts, f)
	}
	for _, l := range loads() {
		if err := o.compare(ctx, fronts, l, directory, out); err != nil {
			return err
		}
	}
	return herds(ctx, o, fronts, out)
}

// fronts are nginx, which the others are divided by, and the rest.
func (o options) fronts() []string {
	if o.caddy == "" {
		return []string{"nginx", "httputil", "sealgate"}
	}
	return []string{"nginx", "caddy", "httputil", "sealgate"}
}

func (o options) compare(ctx context.Context, fronts []front, l load, directory string, out io.Writer) error {
	runs := make([][]reading, len(fronts))
	for range o.rounds {
		for i, f := range fronts {
			s, err := o.measure(ctx, f, l, directory)
			if err != nil {
				return err
			}
			runs[i] = append(runs[i], s)
		}
	}
	_, _ = fmt.Fprintf(out, "\n%s, %d connections, %d runs of %v each: the middle, and its ratio to nginx\n", l.name, o.connections, o.rounds, o.duration)
	_, _ = fmt.Fprintf(out, "%-10s %10s %6s %9s %6s %9s %6s %9s %6s %8s\n", "", "per second", "", "p50 ms", "", "p99 ms", "", "CPU us", "", "RSS MiB")
	base := middle(runs[0])
	for i, f := range fronts {
		s := middle(runs[i])
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		_, _ = fmt.Fprintf(out, "%-10s %10.0f %6.2f %9.2f %6.2f %9.2f %6.2f %9.1f %6.2f %8.1f\n", f.name,
			s.perSecond, s.perSecond/base.perSecond, ms(s.p50), ms(s.p50)/ms(base.p50),
			ms(s.p99), ms(s.p99)/ms(base.p99), s.cpuMicros, s.cpuMicros/base.cpuMicros, s.rssMiB)
	}
	return nil
}

// middle takes the median of every figure by itself.
func middle(runs []reading) reading {
	return reading{
		perSecond: median(runs, func(s reading) float64 { return s.perSecond }),
		cpuMicros: median(runs, func(s reading) float64 { return s.cpuMicros }),
		rssMiB:    median(runs, func(s reading) float64 { return s.rssMiB }),
		p50:       time.Duration(median(runs, func(s reading) float64 { return float64(s.p50) })),
		p99:       time.Duration(median(runs, func(s reading) float64 { return float64(s.p99) })),
	}
}

func median(runs []reading, of func(reading) float64) float64 {
	var all []float64
	for _, s := range runs {
		all = append(all, of(s))
	}
	slices.Sort(all)
	return all[len(all)/2]
}
