package forward_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sealgate/sealgate/relay/forward"
)

const (
	chatsAtOnce = 32
	chatsOfSeed = 200
	anyLimit    = 40 * time.Second // more than anything may take: who waits for so long waits for ever
)

// TestTorture: whatever clients and the instance do to their connections, every reply that ends is the one that was asked for, byte
// for byte, none that breaks off looks whole, somebody who asks in order is always answered, and nothing is left. SEALGATE_SEED plays
// one seed again, SEALGATE_SEEDS is how many are drawn.
func TestTorture(t *testing.T) {
	first, seeds := uint64(time.Now().UnixNano()), uint64(1)
	if s, err := strconv.ParseUint(os.Getenv("SEALGATE_SEED"), 10, 64); err == nil {
		first, seeds = s, 1
	} else if s, err := strconv.ParseUint(os.Getenv("SEALGATE_SEEDS"), 10, 64); err == nil {
		seeds = s
	}
	descriptors, goroutines := openDescriptors(t), runtime.NumGoroutine()+1 // fasthttp's clock, once for all
	for n := range seeds {
		for _, network := range []string{"tcp", "unix"} {
			tortureOnce(t, network, first+n)
		}
		checkNothingLeft(t, descriptors, goroutines)
		if t.Failed() {
			t.Fatalf("play it again with SEALGATE_SEED=%d", first+n)
		}
	}
}

// checkNothingLeft waits for what was opened to be closed.
func checkNothingLeft(t *testing.T, descriptors, goroutines int) {
	t.Helper()
	late := time.After(anyLimit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for openDescriptors(t) > descriptors || runtime.NumGoroutine() > goroutines {
		select {
		case <-tick.C:
		case <-late:
			stacks := make([]byte, 64<<10)
			stacks = stacks[:runtime.Stack(stacks, true)]
			t.Fatalf("%d descriptors and %d goroutines, were %d and %d:\n%s", openDescriptors(t), runtime.NumGoroutine(), descriptors, goroutines, stacks)
		}
	}
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// torture is one run of many chats.
type torture struct {
	t      *testing.T
	seed   uint64
	to     string // the gateway
	counts [fates]atomic.Int64
	said   [fates]atomic.Int64 // 502 instead of a reply that was planned
}

func tortureOnce(t *testing.T, network string, seed uint64) {
	t.Helper()
	r := &torture{t: t, seed: seed}
	up := r.instance(network)
	defer up.close()
	u, err := forward.NewUpstream(forward.UpstreamOptions{URL: urlOf(up)})
	if err != nil {
		t.Fatal(err)
	}
	s := forward.NewServer(forward.ServerOptions{
		Handler: u.Pass, Limits: forward.Limits{ConnectionsPerClient: 1 << 20, BodyTimeout: anyLimit, HeaderTimeout: anyLimit},
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.to = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	slowest := r.run()
	ctx, cancel := context.WithTimeout(context.Background(), anyLimit)
	defer cancel()
	if err := errors.Join(s.Shutdown(ctx), <-served, u.Close()); err != nil {
		t.Errorf("the end: %v", err)
	}
	var kinds []string
	for f := range fates {
		kinds = append(kinds, fmt.Sprintf("%s %d (502: %d)", f, r.counts[f].Load(), r.said[f].Load()))
	}
	t.Logf("seed %d over %s: %s; others waited %v at most", seed, network, strings.Join(kinds, ", "), slowest)
}

// run has all chats, some at once, with others beside them, and returns how long these waited at most.
func (r *torture) run() time.Duration {
	over := make(chan struct{})
	var beside, chats sync.WaitGroup
	var slowest atomic.Int64
	for range 4 { // some on every loop
		beside.Go(func() { r.askInOrder(over, &slowest) })
	}
	var number atomic.Uint64
	for range chatsAtOnce {
		chats.Go(func() {
			for n := number.Add(1); n <= chatsOfSeed; n = number.Add(1) {
				r.talk(n)
			}
		})
	}
	chats.Wait()
	close(over)
	beside.Wait()
	return time.Duration(slowest.Load())
}

// askInOrder asks again and again over one connection.
func (r *torture) askInOrder(over <-chan struct{}, slowest *atomic.Int64) {
	c, err := net.Dial("tcp", r.to)
	if err != nil {
		r.t.Error(err)
		return
	}
	defer c.Close()
	for {
		select {
		case <-over:
			return
		default:
		}
		begin := time.Now()
		c.SetDeadline(begin.Add(anyLimit))
		io.WriteString(c, next)
		if b, same := readN(c, nextReply); !same {
			r.t.Errorf("seed %d: somebody else got %q", r.seed, b)
			return
		}
		for took := int64(time.Since(begin)); ; {
			was := slowest.Load()
			if took <= was || slowest.CompareAndSwap(was, took) {
				break
			}
		}
	}
}

// talk has one chat over a connection of its own.
func (r *torture) talk(number uint64) {
	ch := chatOf(r.seed, number)
	c, err := net.Dial("tcp", r.to)
	if err != nil {
		r.t.Error(err)
		return
	}
	c.SetDeadline(time.Now().Add(anyLimit))
	answered := make(chan struct{}, len(ch.errands))
	var writing sync.WaitGroup
	writing.Go(func() { ch.send(c, answered) })
	in := bufio.NewReaderSize(c, 16+ch.rng.IntN(8<<10))
	for i := range ch.errands {
		e := &ch.errands[i]
		goes, err := r.hear(c, in, e)
		if err != nil {
			r.t.Errorf("seed %d, chat %d, errand %d of %v: %v", r.seed, number, i, ch.errands, err)
		}
		if r.counts[e.fate].Add(1); !goes || err != nil {
			break
		}
		answered <- struct{}{}
	}
	end(c, ch.rng.IntN(4) == 0)
	close(answered)
	writing.Wait()
}

// send sends the requests, each when the one before is answered if it must.
func (ch *chat) send(c net.Conn, answered <-chan struct{}) {
	rng := dice(ch.errands[0].path + " sent")
	for i := range ch.errands {
		e := &ch.errands[i]
		if i > 0 && ch.steps {
			if _, ok := <-answered; !ok {
				return
			}
		}
		b, head := e.request()
		if e.fate == cutUpload {
			b = b[:head+int(e.cut*float64(len(b)-head))]
		}
		if dribble(c, rng, b) != nil {
			return
		}
		if e.fate == cutUpload {
			if t, ok := c.(*net.TCPConn); ok && !e.resets {
				t.CloseWrite()
				return
			}
			end(c, true)
			return
		}
	}
	if t, ok := c.(*net.TCPConn); ok && ch.halves {
		t.CloseWrite()
	}
}

// hear reads the reply to e and reports whether another may follow.
func (r *torture) hear(c net.Conn, in *bufio.Reader, e *errand) (goes bool, err error) {
	res, err := readReply(in, e)
	switch {
	case e.fate == cutUpload && (err != nil || res.StatusCode >= 400):
		return false, ignoreTimeouts(err)
	case e.fate == cutUpload:
		return false, fmt.Errorf("answered %s", res.Status)
	case err != nil:
		return false, err
	}
	defer res.Body.Close()
	if res.StatusCode == 502 && idOf(res.Header) == "" {
		return false, r.excuse(e)
	}
	if id := idOf(res.Header); id != e.path {
		return false, fmt.Errorf("answered %s, the reply to %q", res.Status, id)
	}
	switch e.fate {
	case upgrade:
		return false, e.echoed(c, in, res)
	case leaves, events:
		got := make([]byte, int(e.cut*float64(len(e.reply))))
		n, _ := io.ReadFull(res.Body, got)
		return false, checkBody(got[:n], e.reply, false)
	}
	return !res.Close && e.fate != cutReply, e.heard(res)
}

// readReply reads the head of the final reply.
func readReply(in *bufio.Reader, e *errand) (*http.Response, error) {
	for {
		res, err := http.ReadResponse(in, &http.Request{Method: e.method})
		if err != nil || res.StatusCode >= 200 || res.StatusCode == 101 {
			return res, err
		}
		if id := idOf(res.Header); id != e.path {
			return nil, fmt.Errorf("an interim reply to %q", id)
		}
	}
}

// ignoreTimeouts forgives every error but waiting for ever.
func ignoreTimeouts(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// excuse says why e may not be answered 502.
func (r *torture) excuse(e *errand) error {
	b, head := e.answer()
	switch {
	case e.fate == dead, e.fate == garbage, e.fate == cutReply && e.broken(b) < head:
		return nil
	case e.fate == cutReply && e.resets: // a reset takes back what the kernel has not sent
		return nil
	case !e.idempotent(): // it went over a kept connection that the instance was about to close
		r.said[e.fate].Add(1)
		return nil
	}
	return errors.New("answered 502")
}

// broken is where the instance breaks b off.
func (e *errand) broken(b []byte) int { return int(e.cut * float64(len(b)-1)) }

// heard reads the body of a reply.
func (e *errand) heard(res *http.Response) error {
	got, err := io.ReadAll(res.Body)
	want := e.reply
	if e.method == "HEAD" {
		want = nil
	}
	if same := checkBody(got, want, err == nil); same != nil {
		return same
	}
	switch {
	case e.fate == cutReply && err == nil:
		return errors.New("a broken reply looks whole")
	case e.fate == cutReply:
		return ignoreTimeouts(err)
	case e.fate == dead || e.fate == garbage:
		return errors.New("answered")
	case e.framing == "close" && e.follows && errors.Is(err, syscall.ECONNRESET):
		return nil // what came too late for a connection that closes resets it
	}
	return err
}

// echoed talks through a tunnel.
func (e *errand) echoed(c net.Conn, in *bufio.Reader, res *http.Response) error {
	if res.StatusCode != 101 {
		return fmt.Errorf("answered %s", res.Status)
	}
	rng := dice(e.path + " said")
	go func() {
		if dribble(c, rng, e.reply) == nil && !e.closes {
			c.(*net.TCPConn).CloseWrite()
		}
	}()
	if e.closes { // it leaves in between
		got := make([]byte, int(e.cut*float64(len(e.reply))))
		n, _ := io.ReadFull(in, got)
		return checkBody(got[:n], e.reply, false)
	}
	got, err := io.ReadAll(in)
	return errors.Join(err, checkBody(got, e.reply, true))
}
