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
	// grown is how many messages the store has when it begins: a fresh one takes the first ten thousand faster than it can go on.
	grown           = 25_000
	overloadWorkers = 2048 // more than there are places, so that the rate is kept while all are taken
	againEachSecond = 2000 // messages of each round at once the load, for each second of the flood after it
	probeEvery      = 5 * time.Millisecond
)

// door is where clients connect: the gateway, or nginx before it.
type door struct{ name, address string }

// overload measures what the gateway can take, and then offers twice as much in two mixtures, while somebody asks
// for an ordinary page every few milliseconds. The same is offered to an nginx that serves the clients and sends only what the gateway must see
// through it: what its ordinary requests meet is what the machine does to them.
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
	text := strings.NewReplacer("{upstream}", s.site, "{gateway}", s.host).Replace(before)
	f, err := openNginx(ctx, o, filepath.Join(directory, "before"), text)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.stop()) }()
	doors := []door{{"the gateway", s.host}, {"nginx before it", f.address}}
	_, _ = fmt.Fprintln(out, "\noverload")
	for _, d := range doors {
		idle := s.probeAlone(ctx, d, 3*time.Second)
		_, _ = fmt.Fprintf(out, "%s, idle: ordinary p50 %.1f, p99 %.1f ms\n", d.name, ms(idle.P50), ms(idle.P99))
	}
	if _, err := s.most(ctx, o, out, doors[0], grown); err != nil {
		return err
	}
	for _, m := range []mixture{{"0.6 groups, 1.4 contact", 0.6, 1.4}, {"1.4 groups, 0.6 contact", 1.4, 0.6}} {
		if err := s.compare(ctx, o, out, m, doors); err != nil {
			return err
		}
	}
	return nil
}

// offered is what can be taken through a door, and what ordinary requests meet meanwhile.
type offered struct {
	probing

	perSecond float64
}

// most has n messages offered through d as fast as they are taken.
func (s *scene) most(ctx context.Context, o options, out io.Writer, d door, n int) (u offered, err error) {
	groups, err := s.sign(ctx, privateMessage(usual, 1), n+warmUp)
	if err != nil {
		return u, err
	}
	if _, err := drive(ctx, d.address, warmers, groups[:warmUp], http.StatusAccepted); err != nil {
		return u, err
	}
	var done pressure
	u.probing, done, err = s.press(ctx, d, pressure{Streams: []*stream{{Name: "group", Workers: o.connections, Requests: groups[warmUp:]}}})
	if err != nil {
		return u, err
	}
	u.perSecond = float64(done.Streams[0].Taken) / done.Took.Seconds()
	_, _ = fmt.Fprintf(out, "  %s: %.0f messages a second can be taken; ordinary: p50 %.1f, p99 %.1f ms beside them; memory second by second %.0f MiB\n",
		d.name, u.perSecond, ms(u.P50), ms(u.P99), u.memory)
	return u, nil
}

// compare has what can be taken offered at each door in turns, and then twice as much as m, and prints what ordinary requests of all rounds met:
// one beside the other, since a store that has grown takes less, and the machine is not always as fast.
func (s *scene) compare(ctx context.Context, o options, out io.Writer, m mixture, doors []door) error {
	_, _ = fmt.Fprintf(out, "%s\n", m.name)
	once, twice := map[door][]time.Duration{}, map[door][]time.Duration{}
	for range o.rounds {
		for _, d := range doors {
			u, err := s.most(ctx, o, out, d, int(o.flood.Seconds()*againEachSecond))
			if err != nil {
				return err
			}
			ordinary, err := s.flood(ctx, out, d, m.times(u.perSecond), o.flood)
			if err != nil {
				return err
			}
			once[d], twice[d] = append(once[d], u.took...), append(twice[d], ordinary.took...)
		}
	}
	for _, d := range doors {
		before, now := percentile(once[d], 99), percentile(twice[d], 99)
		_, _ = fmt.Fprintf(out, "  %s, p99 of ordinary requests in all rounds: %.1f ms at once the load, %.1f at twice; %.2f times as much\n",
			d.name, ms(before), ms(now), float64(now)/float64(before))
	}
	return nil
}

// mixture is how many messages of groups and invitations are offered a second.
type mixture struct {
	name           string
	group, contact float64
}

func (m mixture) times(n float64) mixture { return mixture{m.name, n * m.group, n * m.contact} }

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

// flood offers m for so long, prints what became of it, and returns what ordinary requests met.
func (s *scene) flood(ctx context.Context, out io.Writer, d door, m mixture, long time.Duration) (ordinary probing, err error) {
	p := pressure{Streams: []*stream{{Name: "group", Rate: m.group}, {Name: "contact", Rate: m.contact}}}
	for i, message := range [][]byte{privateMessage(usual, 1), invitation()} {
		k := p.Streams[i]
		if k.Requests, err = s.sign(ctx, message, int(k.Rate*long.Seconds())); err != nil {
			return ordinary, err
		}
	}
	ordinary, done, err := s.press(ctx, d, p)
	if err != nil {
		return ordinary, err
	}
	_, _ = fmt.Fprintf(out, "  %s\n", d.name)
	for _, k := range done.Streams {
		k.report(out, done.Took.Seconds())
	}
	back, err := s.recovery(ctx, d)
	_, _ = fmt.Fprintf(out, "    ordinary: p50 %.1f ms, p99 %.1f ms; memory second by second %.0f MiB; an invitation was taken %.0f ms after the end\n",
		ms(ordinary.P50), ms(ordinary.P99), ordinary.memory, ms(back))
	return ordinary, err
}

// press offers p through d, and returns what ordinary requests met meanwhile.
func (s *scene) press(ctx context.Context, d door, p pressure) (met probing, done pressure, err error) {
	p.Address = d.address
	stop, probed := func() {}, (<-chan probing)(nil)
	done, err = p.apply(ctx, func() { stop, probed = s.probe(ctx, d) })
	stop()
	if probed != nil {
		met = <-probed
	}
	return met, done, err
}

// probe asks for an ordinary page every few milliseconds until stop.
func (s *scene) probe(ctx context.Context, d door) (stop func(), outcome <-chan probing) {
	ctx, stop = context.WithCancel(ctx)
	done := make(chan probing, 1)
	go func() {
		var mu sync.Mutex
		var took []time.Duration
		var probes sync.WaitGroup
		for range 4 {
			probes.Go(func() {
				mine := ordinary(ctx, d.address, s.host, 4*probeEvery)
				mu.Lock()
				took = append(took, mine...)
				mu.Unlock()
			})
		}
		var memory []float64
		probes.Go(func() { memory = s.memory(ctx) })
		probes.Wait()
		done <- probing{result{P50: percentile(took, 50), P99: percentile(took, 99)}, took, memory}
	}()
	return stop, done
}

// probing is what the probes met, and how much anonymous memory the gateway had at most in each second, in MiB.
type probing struct {
	result

	took   []time.Duration
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

func (s *scene) probeAlone(ctx context.Context, d door, long time.Duration) probing {
	stop, outcome := s.probe(ctx, d)
	<-time.After(long)
	stop()
	return <-outcome
}

// ordinary asks for a page of host over one connection to address, at even times.
func ordinary(ctx context.Context, address, host string, every time.Duration) (took []time.Duration) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil
	}
	defer c.Close() //nolint:errcheck // it was only used to ask
	r := bufio.NewReader(c)
	request := []byte("GET /@person0 HTTP/1.1\r\nHost: " + host + "\r\nAccept: text/html\r\n\r\n")
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
func (s *scene) recovery(ctx context.Context, d door) (time.Duration, error) {
	requests, err := s.sign(ctx, invitation(), 100)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	for _, one := range requests {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", d.address)
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
