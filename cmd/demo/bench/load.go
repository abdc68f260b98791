package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

var errStatus = errors.New("unexpected status")

// result is what a run of requests took.
type result struct {
	PerSecond float64
	P50, P99  time.Duration
}

// drive sends each of requests, complete HTTP/1.1 messages, once to address over
// so many keep-alive connections, and wants status from each. It measures from
// the first byte written to the last byte read.
func drive(ctx context.Context, address string, connections int, requests [][]byte, status int) (result, error) {
	var next atomic.Int64
	took := make([]time.Duration, len(requests))
	group, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for range connections {
		group.Go(func() error {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return fmt.Errorf("connect: %w", err)
			}
			defer c.Close() //nolint:errcheck // it was only used to ask
			reader := bufio.NewReader(c)
			for ctx.Err() == nil {
				n := int(next.Add(1)) - 1
				if n >= len(requests) {
					return nil
				}
				began := time.Now()
				if err := exchange(c, reader, requests[n], status); err != nil {
					return fmt.Errorf("request %d: %w", n, err)
				}
				took[n] = time.Since(began)
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return result{}, err
	}
	elapsed := time.Since(start)
	slices.Sort(took)
	return result{
		PerSecond: float64(len(requests)) / elapsed.Seconds(),
		P50:       took[len(took)/2],
		P99:       took[len(took)*99/100],
	}, nil
}

// exchange writes one request and reads its answer whole.
func exchange(w io.Writer, r *bufio.Reader, request []byte, status int) error {
	if _, err := w.Write(request); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	body, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	if answer.StatusCode != status {
		return fmt.Errorf("%w %d: %s", errStatus, answer.StatusCode, body)
	}
	return nil
}
