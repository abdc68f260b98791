package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// pressure is requests to be offered by a process of their own, so that who measures is not in their way.
type pressure struct {
	Address string
	Streams []*stream
	Took    time.Duration
}

// stream is requests of one kind, at a rate whether they are answered or not.
type stream struct {
	Name     string
	Rate     float64 // a second; 0: as fast as they are answered
	Workers  int     // 0: overloadWorkers
	Requests [][]byte

	Taken, Shed, Other int
	Odd                map[int]int // other statuses; 0: no answer
	Refusals, Answers  []time.Duration

	connections []net.Conn

	mu sync.Mutex
}

// apply has ready run when everything is at hand to offer p, and returns p with what became of it.
func (p pressure) apply(ctx context.Context, ready func()) (done pressure, err error) {
	// Who floods is on other machines: here, at least, they are served after all others.
	c := exec.CommandContext(ctx, "nice", "-n", "19", os.Args[0], "--pressing")
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return p, fmt.Errorf("offer requests: %w", err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return p, fmt.Errorf("offer requests: %w", err)
	}
	if err := c.Start(); err != nil {
		return p, fmt.Errorf("offer requests: %w", err)
	}
	say, hear := gob.NewEncoder(in), gob.NewDecoder(out)
	var has bool
	err = errors.Join(say.Encode(p), hear.Decode(&has))
	if err == nil {
		ready()
		err = errors.Join(say.Encode(true), hear.Decode(&done))
	}
	if err := errors.Join(err, in.Close(), c.Wait()); err != nil {
		return p, fmt.Errorf("offer requests: %w", err)
	}
	return done, nil
}

// runPressure is the process that offers.
func runPressure(ctx context.Context, in io.Reader, out io.Writer) error {
	hear, say := gob.NewDecoder(in), gob.NewEncoder(out)
	var p pressure
	if err := hear.Decode(&p); err != nil {
		return fmt.Errorf("read requests: %w", err)
	}
	for _, k := range p.Streams {
		if err := k.connect(ctx, p.Address); err != nil {
			return err
		}
		defer k.close()
	}
	var begin bool
	if err := errors.Join(say.Encode(true), hear.Decode(&begin)); err != nil {
		return fmt.Errorf("wait for the beginning: %w", err)
	}
	began := time.Now()
	var all sync.WaitGroup
	for _, k := range p.Streams {
		all.Go(func() { k.run(ctx, began) })
	}
	all.Wait()
	p.Took = time.Since(began)
	for _, k := range p.Streams {
		k.Requests = nil
	}
	return say.Encode(p)
}

// connect makes the stream's connections, one after the other: how many come at once is another question.
func (k *stream) connect(ctx context.Context, address string) error {
	for range cmp.Or(k.Workers, overloadWorkers) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("connect: %w", err)
		}
		k.connections = append(k.connections, c)
	}
	return nil
}

func (k *stream) close() {
	for _, c := range k.connections {
		_ = c.Close() // it was only used to ask
	}
}

func (k *stream) run(ctx context.Context, began time.Time) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for _, c := range k.connections {
		workers.Go(func() {
			r := bufio.NewReaderSize(c, 2048)
			for ctx.Err() == nil {
				n := next.Add(1) - 1
				if n >= int64(len(k.Requests)) {
					return
				}
				if k.Rate > 0 {
					time.Sleep(time.Until(began.Add(time.Duration(float64(n) / k.Rate * float64(time.Second)))))
				}
				began := time.Now()
				status, _ := statusOf(c, r, k.Requests[n]) // 0 counts as neither
				k.note(status, time.Since(began))
			}
		})
	}
	workers.Wait()
}

func (k *stream) note(status int, took time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch status {
	case http.StatusAccepted:
		k.Taken++
		k.Answers = append(k.Answers, took)
	case http.StatusServiceUnavailable:
		k.Shed++
		k.Refusals = append(k.Refusals, took)
	default:
		k.Other++
		if k.Odd == nil {
			k.Odd = map[int]int{}
		}
		k.Odd[status]++
	}
}

func (k *stream) report(out io.Writer, took float64) {
	offered := float64(k.Taken + k.Shed + k.Other)
	_, _ = fmt.Fprintf(out, "    %-8s offered %6.0f/s, taken %6.0f/s (%.2f), 503 %6.0f/s, else %v; 202 p99 %.0f ms, 503 p50 %.1f ms, p99 %.1f ms\n", k.Name,
		offered/took, float64(k.Taken)/took, float64(k.Taken)/offered, float64(k.Shed)/took, k.Odd,
		ms(percentile(k.Answers, 99)), ms(percentile(k.Refusals, 50)), ms(percentile(k.Refusals, 99)))
}

func percentile[T cmp.Ordered](of []T, p int) (found T) {
	if len(of) == 0 {
		return found
	}
	slices.Sort(of)
	return of[(len(of)-1)*p/100]
}

// statusOf writes a request and reads its answer whole.
func statusOf(c net.Conn, r *bufio.Reader, request []byte) (int, error) {
	if _, err := c.Write(request); err != nil {
		return 0, fmt.Errorf("write: %w", err)
	}
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, errors.Join(err, answer.Body.Close())
}
