package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

var errNoStream = errors.New("the gateway opened no stream")

// dial connects from one of many loopback addresses: the gateway limits the connections of each.
func (s *scene) dial(ctx context.Context, n int) (net.Conn, error) {
	from := netip.AddrFrom4([4]byte{127, 0, byte(1 + n/200), 1})
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: patience}
	return d.DialContext(ctx, "tcp", s.host)
}

// listen opens the stream of one person and reads until its first event, which has the cursor.
func (s *scene) listen(ctx context.Context, n, person int) (net.Conn, error) {
	c, err := s.dial(ctx, n)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	_, err = fmt.Fprintf(c, "GET /e2ee/users/p%d/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer of-p%d\r\n\r\n", person, s.host, person)
	var got []byte
	for buffer := make([]byte, 2048); err == nil && !bytes.Contains(got, []byte("id: ")); {
		var k int
		k, err = c.Read(buffer)
		got = append(got, buffer[:k]...)
	}
	if err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 200 ")) {
		return nil, errors.Join(fmt.Errorf("%w: %q", errNoStream, got), err, c.Close())
	}
	_ = c.SetDeadline(time.Time{})
	return c, nil
}

const perPerson = 25

// idle measures what so many open streams add to the memory of the gateway.
func (s *scene) idle(ctx context.Context, o options, out io.Writer) error {
	before := resident(s.gateway.PID)
	open, began := make([]net.Conn, o.streams), time.Now()
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(64)
	for n := range open {
		group.Go(func() (err error) {
			open[n], err = s.listen(inner, n, n/perPerson)
			return err
		})
	}
	err := group.Wait()
	defer func() {
		for _, c := range open {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	if err != nil {
		return err
	}
	took := time.Since(began)
	for _, wait := range []time.Duration{0, 45 * time.Second} { // the second time after a heartbeat each
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		now := resident(s.gateway.PID)
		_, _ = fmt.Fprintf(out, "%d idle streams (opened in %s), after %s: %d MiB resident, %d before; %.1f KiB each\n",
			o.streams, took.Round(time.Millisecond), wait, now>>10, before>>10, float64(now-before)/float64(o.streams))
	}
	return nil
}

// resident is the resident memory of a process in KiB.
func resident(pid int) int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

// reconnects opens streams and closes them, 32 at a time.
func (s *scene) reconnects(ctx context.Context, o options, out io.Writer) error {
	took := make([]time.Duration, o.again)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(32)
	began := time.Now()
	for n := range took {
		group.Go(func() error {
			start := time.Now()
			c, err := s.listen(ctx, n%6400, n%400)
			if err != nil {
				return err
			}
			took[n] = time.Since(start)
			return c.Close()
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	elapsed := time.Since(began)
	slices.Sort(took)
	_, _ = fmt.Fprintf(out, "%.0f reconnects a second; p50 %s, p99 %s until the stream is open\n",
		float64(o.again)/elapsed.Seconds(), took[len(took)/2], took[len(took)*99/100])
	return nil
}

// times are when messages were acknowledged and when their events came, by activity id.
type times struct {
	mu              sync.Mutex
	accepted, event map[string]time.Time
}

func (t *times) note(m map[string]time.Time, id string) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	m[id] = now
}

// delays are the times between the two, sorted; an event before its 202 counts as 0.
func (t *times) delays() (all []time.Duration, lost int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, at := range t.accepted {
		if came, ok := t.event[id]; ok {
			all = append(all, max(0, came.Sub(at)))
		} else {
			lost++
		}
	}
	slices.Sort(all)
	return all, lost
}
