package main

import (
	"bufio"
	"bytes"
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

	mu sync.Mutex
}

// apply returns p with what became of it.
func (p pressure) apply(ctx context.Context) (done pressure, err error) {
	var given bytes.Buffer
	if err := gob.NewEncoder(&given).Encode(p); err != nil {
		return p, fmt.Errorf("write requests: %w", err)
	}
	c := exec.CommandContext(ctx, os.Args[0], "--pressing")
	c.Stdin, c.Stderr = &given, os.Stderr
	said, err := c.Output()
	if err != nil {
		return p, fmt.Errorf("offer requests: %w", err)
	}
	return done, gob.NewDecoder(bytes.NewReader(said)).Decode(&done)
}

// runPressure is that process.
func runPressure(ctx context.Context, in io.Reader, out io.Writer) error {
	var p pressure
	if err := gob.NewDecoder(in).Decode(&p); err != nil {
		return fmt.Errorf("read requests: %w", err)
	}
	began := time.Now()
	var all sync.WaitGroup
	for _, k := range p.Streams {
		all.Go(func() { k.run(ctx, p.Address, began) })
	}
	all.Wait()
	p.Took = time.Since(began)
	for _, k := range p.Streams {
		k.Requests = nil
	}
	return gob.NewEncoder(out).Encode(p)
}

func (k *stream) run(ctx context.Context, address string, began time.Time) {
	var next atomic.Int64
	var workers sync.WaitGroup
	if k.Workers == 0 {
		k.Workers = overloadWorkers
	}
	for range k.Workers {
		workers.Go(func() {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				k.note(0, 0)
				return
			}
			defer c.Close() //nolint:errcheck // it was only used to ask
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
