package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// sustained is how many messages say what can be taken: a fresh store takes the first ten thousand faster than it can go on.
	sustained       = 25_000
	overloadWorkers = 512
	probeEvery      = 5 * time.Millisecond
)

// overload measures what the gateway can take, and then offers twice as much in two mixtures, while somebody asks
// for an ordinary page every few milliseconds.
func overload(ctx context.Context, o options, directory string, out io.Writer) (err error) {
	directory = filepath.Join(directory, "overload")
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	if err := o.pin(directory); err != nil {
		return err
	}
	s, err := newScene(ctx, o, directory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if o.throughNginx {
		text := strings.NewReplacer("{upstream}", s.site, "{gateway}", s.host).Replace(before)
		f, err := openNginx(ctx, o, filepath.Join(directory, "before"), text)
		if err != nil {
			return err
		}
		defer func() { _ = f.stop() }()
		s.door = f.address
	}
	groups, err := s.sign(ctx, privateMessage(usual, 1), sustained+warmUp)
	if err != nil {
		return err
	}
	idle := s.probeAlone(ctx, 3*time.Second)
	if _, err := drive(ctx, s.door, warmers, groups[:warmUp], http.StatusAccepted); err != nil {
		return err
	}
	stop, base := s.probe(ctx)
	done, err := pressure{Address: s.door, Streams: []*stream{{Name: "group", Workers: o.connections, Requests: groups[warmUp:]}}}.apply(ctx)
	stop()
	once := <-base
	if err != nil {
		return err
	}
	most := float64(done.Streams[0].Taken) / done.Took.Seconds()
	_, _ = fmt.Fprintf(out, "\noverload: %.0f messages a second can be taken; ordinary requests p50 %.1f, p99 %.1f ms idle, %.1f and %.1f ms beside them; memory second by second %.0f MiB\n",
		most, ms(idle.P50), ms(idle.P99), ms(once.P50), ms(once.P99), once.memory)
	for _, m := range []mixture{{"0.6 groups, 1.4 contact", 0.6 * most, 1.4 * most}, {"1.4 groups, 0.6 contact", 1.4 * most, 0.6 * most}} {
		if err := s.flood(ctx, out, once, m, o.flood); err != nil {
			return err
		}
	}
	return nil
}

// mixture is how many messages of groups and invitations are offered a second.
type mixture struct {
	name           string
	group, contact float64
}

// pin has the gateway run on o.processors alone, so that it shows what is its own and not who gets the processors of the machine.
func (o *options) pin(directory string) error {
	if o.processors == "" {
		return nil
	}
	script := filepath.Join(directory, "pinned")
	text := fmt.Sprintf("#!/bin/sh\nexec taskset -c %s %s \"$@\"\n", o.processors, o.binary)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		return fmt.Errorf("write how the gateway is started: %w", err)
	}
	o.binary = script
	return nil
}

// flood offers m for so long, and prints what became of it; once is what was met at once the load.
func (s *scene) flood(ctx context.Context, out io.Writer, once probing, m mixture, long time.Duration) error {
	_, _ = fmt.Fprintf(out, "%s\n", m.name)
	p := pressure{Address: s.door, Streams: []*stream{{Name: "group", Rate: m.group}, {Name: "contact", Rate: m.contact}}}
	for i, message := range [][]byte{privateMessage(usual, 1), invitation()} {
		var err error
		k := p.Streams[i]
		if k.Requests, err = s.sign(ctx, message, int(k.Rate*long.Seconds())); err != nil {
			return err
		}
	}
	stop, probed := s.probe(ctx)
	done, err := p.apply(ctx)
	stop()
	ordinary := <-probed
	if err != nil {
		return err
	}
	for _, k := range done.Streams {
		k.report(out, done.Took.Seconds())
	}
	back, err := s.recovery(ctx)
	_, _ = fmt.Fprintf(out, "  ordinary: p50 %.1f ms, p99 %.1f ms, %.2f of that at once the load; memory second by second %.0f MiB; an invitation was taken %.0f ms after the end\n",
		ms(ordinary.P50), ms(ordinary.P99), float64(ordinary.P99)/float64(once.P99), ordinary.memory, ms(back))
	return err
}

// probe asks for an ordinary page every few milliseconds until stop.
func (s *scene) probe(ctx context.Context) (stop func(), outcome <-chan probing) {
	ctx, stop = context.WithCancel(ctx)
	done := make(chan probing, 1)
	go func() {
		var mu sync.Mutex
		var took []time.Duration
		var probes sync.WaitGroup
		for range 4 {
			probes.Go(func() {
				mine := s.ordinary(ctx, 4*probeEvery)
				mu.Lock()
				took = append(took, mine...)
				mu.Unlock()
			})
		}
		var memory []float64
		probes.Go(func() { memory = s.memory(ctx) })
		probes.Wait()
		done <- probing{result{P50: percentile(took, 50), P99: percentile(took, 99)}, memory}
	}()
	return stop, done
}

// probing is what the probes met, and how much anonymous memory the gateway had at most in each second, in MiB.
type probing struct {
	result

	memory []float64
}

func (s *scene) memory(ctx context.Context) (most []float64) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%10 == 0 {
			most = append(most, 0)
		}
		if now, err := anonOf(s.gateway.PID); err == nil {
			last := &most[len(most)-1]
			*last = max(*last, now)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return most
		}
	}
}

func (s *scene) probeAlone(ctx context.Context, d time.Duration) probing {
	stop, outcome := s.probe(ctx)
	<-time.After(d)
	stop()
	return <-outcome
}

// ordinary asks over one connection, at even times.
func (s *scene) ordinary(ctx context.Context, every time.Duration) (took []time.Duration) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", s.door)
	if err != nil {
		return nil
	}
	defer c.Close() //nolint:errcheck // it was only used to ask
	r := bufio.NewReader(c)
	request := []byte("GET /@person0 HTTP/1.1\r\nHost: " + s.host + "\r\nAccept: text/html\r\n\r\n")
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return took
		case <-tick.C:
		}
		began := time.Now()
		if _, err := statusOf(c, r, request); err != nil {
			return append(took, time.Hour) // a failure shows
		}
		took = append(took, time.Since(began))
	}
}

var errNoRecovery = errors.New("no invitation was taken half a minute after the load had ended")

// recovery is how long it takes until an invitation is taken.
func (s *scene) recovery(ctx context.Context) (time.Duration, error) {
	requests, err := s.sign(ctx, invitation(), 100)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for _, one := range requests {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", s.door)
		if err != nil {
			return 0, fmt.Errorf("connect: %w", err)
		}
		status, err := statusOf(c, bufio.NewReader(c), one)
		_ = c.Close()
		if err == nil && status == http.StatusAccepted {
			return time.Since(began), nil
		}
		<-time.After(300 * time.Millisecond)
	}
	return 0, errNoRecovery
}

// invitation is a Welcome (RFC 9420 §12.4.3.1) for a package that nobody here has published, of 4 KiB.
func invitation() []byte {
	vector := func(n int) []byte {
		if n < 64 {
			return append([]byte{byte(n)}, make([]byte, n)...)
		}
		return append([]byte{0x40 | byte(n>>8), byte(n)}, make([]byte, n)...)
	}
	secret := slices.Concat(vector(32), vector(32), vector(100))
	b := []byte{0, 1, 0, 3, 0, 1, 0x40 | byte(len(secret)>>8), byte(len(secret))}
	return slices.Concat(b, secret, vector(messageBytes-len(secret)))
}
