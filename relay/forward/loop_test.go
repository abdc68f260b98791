package forward //nolint:testpackage // whose turn it is cannot be seen from outside

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
	"weak"

	"golang.org/x/sys/unix"
)

func oneLoop(t *testing.T) *loop {
	t.Helper()
	ls, err := newLoops(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ls.close)
	return ls.next()
}

// pipe is a connection that l watches for task k, and its other end.
func pipe(t *testing.T, k *task) (*wire, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	w, err := takeOver(near, k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w, far
}

// both runs f in a task on its loop, and in a goroutine.
func both(t *testing.T, f func(t *testing.T, k *task)) {
	t.Helper()
	t.Run("task", func(t *testing.T) {
		k, done := oneLoop(t).newTask(), make(chan struct{})
		k.start(func() { defer close(done); f(t, k) })
		<-done
	})
	t.Run("goroutine", func(t *testing.T) { f(t, oneLoop(t).newTask()) })
}

// A task that always finds something to do lets others have their turn.
func TestTasksTakeTurns(t *testing.T) {
	l := oneLoop(t)
	long, short := l.newTask(), l.newTask()
	steps, seen, done := 0, -1, make(chan struct{})
	long.start(func() {
		short.start(func() { seen = steps })
		for range 100 * quantum {
			long.spend()
			steps++
		}
		close(done)
	})
	<-done
	if seen < 0 || seen > 3*quantum {
		t.Errorf("the other had its turn after %d of %d steps", seen, steps)
	}
}

// Who needs nothing but wires goes before those who did something aside or take their turn after others, however many had come before; and these have their turn.
func TestOrdinaryTasksGoFirst(t *testing.T) {
	t.Parallel()
	const many = 10 * few
	l := oneLoop(t)
	var order []int // the loop's, until all are done
	var waiting, done sync.WaitGroup
	far := make([]net.Conn, many+1)
	for n := range far {
		k := l.newTask()
		var w *wire
		w, far[n] = pipe(t, k)
		waiting.Add(1)
		done.Add(1)
		k.start(func() {
			defer done.Done()
			switch {
			case n == many:
			case n%2 == 0:
				k.aside(func() {})
			default:
				k.afterOthers()
			}
			waiting.Done()
			w.Read(make([]byte, 1))
			order = append(order, n)
		})
	}
	waiting.Wait()
	held, release := make(chan struct{}), make(chan struct{})
	l.newTask().start(func() { close(held); <-release })
	<-held
	for _, c := range far {
		io.WriteString(c, "x")
	}
	close(release)
	done.Wait()
	if order[0] != many || len(order) != many+1 || !slices.IsSorted(order[1:]) {
		t.Errorf("served in the order %v, want %d first and then as they came", order, many)
	}
}

// What a loop has to spare is there after any number of the collector's cycles, and is no more when there was nothing to do for long.
func TestLoopsKeepSpares(t *testing.T) {
	t.Parallel()
	l := oneLoop(t)
	k, done := l.newTask(), make(chan struct{})
	var gone []weak.Pointer[[]byte]
	pool := newBuffers(1<<10, func(s *stock) *[]*[]byte { return &s.heads })
	k.start(func() {
		defer close(done)
		var all []*[]byte
		for range l.keeps + 1 { // the last is not kept
			all = append(all, pool.take(k))
		}
		for _, b := range all {
			pool.give(k, b)
		}
		all = all[:l.keeps]
		k.aside(func() { runtime.GC(); runtime.GC(); runtime.GC() })
		for _, b := range slices.Backward(all) {
			if pool.take(k) != b {
				t.Error("another was taken than was given back last")
			}
			gone = append(gone, weak.Make(b))
		}
		for _, b := range all {
			pool.give(k, b)
		}
	})
	<-done
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(20 * time.Second); gone[0].Value() != nil; runtime.GC() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("a loop without anything to do has kept them")
		}
	}
}

// What a task does aside may wait for what other tasks of the loop do, and its panic is the task's.
func TestAsideWaitsWhileTheLoopGoesOn(t *testing.T) {
	l := oneLoop(t)
	first, second := l.newTask(), l.newTask()
	token, done := make(chan struct{}), make(chan any, 1)
	first.start(func() {
		defer func() { done <- recover() }()
		first.aside(func() { <-token; panic("as f does") })
	})
	second.start(func() { close(token) })
	if p := <-done; p != "as f does" {
		t.Errorf("recovered %v", p)
	}
}

func TestWireReadsWhatComes(t *testing.T) {
	both(t, func(t *testing.T, k *task) {
		w, far := pipe(t, k)
		go func() { io.WriteString(far, "here"); far.Close() }()
		if b, err := io.ReadAll(w); string(b) != "here" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}
	})
}

// Neither an end nor a deadline from another goroutine is missed, whether it comes before the wait or during it.
func TestWireWakesWhoWaits(t *testing.T) {
	both(t, func(t *testing.T, k *task) {
		var p [1]byte
		for range 200 {
			w, far := pipe(t, k)
			go w.SetReadDeadline(time.Unix(1, 0))
			if _, err := w.Read(p[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("read past its deadline: %v", err)
			}
			w.SetReadDeadline(time.Time{})
			io.WriteString(far, "x")
			if _, err := w.Read(p[:]); err != nil {
				t.Fatalf("read without a deadline: %v", err)
			}
			go w.Close()
			if _, err := w.Read(p[:]); !errors.Is(err, net.ErrClosed) {
				t.Fatalf("read from a closed wire: %v", err)
			}
			far.Close()
		}
	})
}

// What a loop watches it alone watches, and forgets when it is closed.
func TestLoopsForgetWhatIsClosed(t *testing.T) {
	l := oneLoop(t)
	w, _ := pipe(t, l.newTask())
	var flags int
	w.control(func(fd int) (err error) { flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); return err })
	if flags&unix.O_NONBLOCK != 0 {
		t.Error("Go's poller watches it as well")
	}
	w.Close()
	if len(l.wires) != 0 {
		t.Errorf("%d wires are left", len(l.wires))
	}
}

// A piece that the kernel does not take at once goes out when there is room, in order.
func TestWireWritesAll(t *testing.T) {
	both(t, func(t *testing.T, k *task) {
		w, far := pipe(t, k)
		w.control(func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 64<<10) })
		first, second := make([]byte, 512<<10), make([]byte, 512<<10)
		for i := range second {
			first[i], second[i] = byte(i>>8), byte(i>>16)
		}
		got := make(chan []byte, 1)
		go func() { b, _ := io.ReadAll(far); got <- b }()
		if err := w.writePieces([][]byte{[]byte("a"), first, nil, second}); err != nil {
			t.Fatal(err)
		}
		w.CloseWrite()
		want := append(append([]byte("a"), first...), second...)
		if b := <-got; string(b) != string(want) {
			t.Errorf("%d bytes arrived, or others than the %d", len(b), len(want))
		}
	})
}

// A loop closes its descriptors once: closed again, or rung, they would be somebody else's.
func TestLoopsCloseOnce(t *testing.T) { //nolint:paralleltest // others would get the descriptors
	ls, err := newLoops(1)
	if err != nil {
		t.Fatal(err)
	}
	ls.close()
	var others [4]int // the lowest that are free: the loop's among them
	for i := range others {
		if others[i], err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
			t.Fatal(err)
		}
	}
	ls.close()
	for _, fd := range others {
		if _, err := unix.Read(fd, make([]byte, 8)); !errors.Is(err, unix.EAGAIN) {
			t.Errorf("another's descriptor: %v, want one that is open and was not written to", err)
		}
		_ = unix.Close(fd)
	}
}

// A loop that closes awaits who is about to ring.
func TestCloseAwaitsWhoPosts(t *testing.T) {
	t.Parallel()
	ls, err := newLoops(1)
	if err != nil {
		t.Fatal(err)
	}
	l, closed := ls.next(), make(chan struct{})
	l.posting.Add(1)
	go func() { defer close(closed); ls.close() }()
	<-l.ended
	select {
	case <-closed:
		t.Error("the bell is gone, and somebody rings")
	case <-time.After(20 * time.Millisecond):
	}
	l.posting.Done()
	<-closed
}
