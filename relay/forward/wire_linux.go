package forward

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wire is a connection that a loop watches, and Go's poller does not. One goroutine may read while another writes, and any may
// close it. As deadlines it knows only the past and none.
type wire struct {
	file          *os.File        // counts who uses the descriptor; Go's poller knows nothing of it
	fd            syscall.RawConn // of file, for Control
	number        int32           // in the loop's table
	local, remote net.Addr
	loop          *loop
	task          *task // whose it is; its goroutines alone read and write

	in, out side
	ready   waiter      // in a side: something happened since it was last awaited
	over    atomic.Bool // the other side has ended, or the connection has failed
	closed  atomic.Bool
}

// side is one direction of a wire, in which at most one goroutine waits.
type side struct {
	state atomic.Pointer[waiter] // nil, &wire.ready, or who waits
	late  atomic.Bool            // its deadline is over
	here  waiter
	attempts
}

// waiter is who waits: a task on its loop, or a goroutine.
type waiter struct {
	t *task
	c chan struct{}
}

// takeOver makes c, a plain socket, a wire of t's loop. c is closed.
func takeOver(c net.Conn, t *task) (*wire, error) {
	defer c.Close() //nolint:errcheck // its socket lives on
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	var failed error
	err = raw.Control(func(old uintptr) {
		if fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0); failed == nil {
			_, failed = unix.FcntlInt(old, unix.F_SETFL, 0) // what may block; os.NewFile gives others to Go's poller
		}
	})
	if err = errors.Join(err, failed); err != nil {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
		return nil, err
	}
	w := &wire{
		file: os.NewFile(uintptr(fd), "socket"), number: int32(fd),
		local: c.LocalAddr(), remote: c.RemoteAddr(), loop: t.loop, task: t,
	}
	if w.fd, err = w.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	w.in.open()
	w.out.open()
	if err := t.loop.add(w); err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	return w, nil
}

// attempts are calls of one direction that are made until one of them need not wait.
type attempts struct {
	f    func(fd uintptr) bool // false: wait, and call again
	done bool
	once func(uintptr) // calls f; made once
}

func (a *attempts) open() { a.once = func(fd uintptr) { a.done = a.f(fd) } }

// try calls f until it says true, and waits for s between the calls.
func (w *wire) try(s *side, f func(fd uintptr) bool) error {
	a := &s.attempts
	a.f = f
	defer func() { a.f = nil }()
	for {
		if s.late.Load() {
			return os.ErrDeadlineExceeded
		}
		w.task.spend()
		if w.fd.Control(a.once) != nil {
			return net.ErrClosed
		}
		if a.done {
			return nil
		}
		if err := w.await(s); err != nil {
			return err
		}
	}
}

// waiting is a wire's RawConn.
type waiting struct{ *wire }

// Control is that of syscall.RawConn.
func (w waiting) Control(f func(fd uintptr)) error { return w.fd.Control(f) }

// Read is that of syscall.RawConn.
func (w waiting) Read(f func(fd uintptr) bool) error { return w.try(&w.in, f) }

// Write is that of syscall.RawConn.
func (w waiting) Write(f func(fd uintptr) bool) error { return w.try(&w.out, f) }

// await waits until something happens on s.
func (w *wire) await(s *side) error {
	for {
		switch {
		case w.closed.Load():
			return net.ErrClosed
		case s.late.Load():
			return os.ErrDeadlineExceeded
		case s.state.CompareAndSwap(&w.ready, nil):
			return nil
		}
		if me := w.waiter(s); s.state.CompareAndSwap(nil, me) {
			me.wait()
		}
	}
}

func (w *wire) waiter(s *side) *waiter {
	if w.task.on {
		return &w.task.me
	}
	if s.here.c == nil {
		s.here.c = make(chan struct{}, 1)
	}
	return &s.here
}

func (m *waiter) wait() {
	if m.t != nil {
		m.t.yield(struct{}{})
		return
	}
	<-m.c
}

// signal has whoever waits look again. On the thread of loop at, a task of that loop may run before it returns.
func (s *side) signal(ready *waiter, at *loop) {
	m := s.state.Swap(ready)
	switch {
	case m == nil || m == ready:
	case m.t == nil:
		m.c <- struct{}{} // it has room: one who waits is told once
	case m.t.loop == at:
		at.wake(m.t)
	default:
		m.t.loop.post(m.t)
	}
}

// Read waits for bytes.
func (w *wire) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	var errno syscall.Errno
	err = w.try(&w.in, func(fd uintptr) bool {
		n, errno = receiveNow(fd, p)
		return errno != unix.EAGAIN
	})
	switch {
	case err != nil:
		return 0, err
	case errno != 0:
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write writes all of p, waiting where it must, and returns how much of it went out.
func (w *wire) Write(p []byte) (int, error) {
	s := socket{conn: w, wire: w, raw: waiting{w}}
	s.write = s.tryWrite
	return s.Write(p)
}

// writePieces writes them in order with as few calls as it can. It uses them up.
func (w *wire) writePieces(pieces [][]byte) error {
	var failed syscall.Errno
	err := w.try(&w.out, func(fd uintptr) bool {
		for len(pieces) > 0 {
			n, errno := sendPiecesNow(fd, pieces)
			if pieces = after(pieces, n); errno != 0 {
				failed = errno
				return errno != unix.EAGAIN
			}
		}
		failed = 0
		return true
	})
	if err == nil && failed != 0 {
		err = failed
	}
	return err
}

// after returns what follows the first n bytes of pieces.
func after(pieces [][]byte, n int) [][]byte {
	for len(pieces) > 0 && n >= len(pieces[0]) {
		n -= len(pieces[0])
		pieces = pieces[1:]
	}
	if len(pieces) > 0 {
		pieces[0] = pieces[0][n:]
	}
	return pieces
}

// Close ends the connection and wakes who waits for it.
func (w *wire) Close() error {
	if w.closed.Swap(true) {
		return net.ErrClosed
	}
	w.loop.remove(w)
	err := w.file.Close()
	w.in.signal(&w.ready, nil)
	w.out.signal(&w.ready, nil)
	return err
}

// CloseWrite ends what is sent.
func (w *wire) CloseWrite() error {
	return w.control(func(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) })
}

// SetLinger is that of net.TCPConn.
func (w *wire) SetLinger(sec int) error {
	l := unix.Linger{Linger: int32(sec)}
	if sec >= 0 {
		l.Onoff = 1
	}
	return w.control(func(fd int) error { return unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &l) })
}

func (w *wire) control(f func(fd int) error) (err error) {
	if closed := w.fd.Control(func(fd uintptr) { err = f(int(fd)) }); closed != nil {
		return net.ErrClosed
	}
	return err
}

// SyscallConn gives the descriptor away; its Read and Write wait as w does.
func (w *wire) SyscallConn() (syscall.RawConn, error) { return waiting{w}, nil }

// LocalAddr is our end's.
func (w *wire) LocalAddr() net.Addr { return w.local }

// RemoteAddr is the other end's.
func (w *wire) RemoteAddr() net.Addr { return w.remote }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (w *wire) SetDeadline(t time.Time) error {
	return errors.Join(w.SetReadDeadline(t), w.SetWriteDeadline(t))
}

// SetReadDeadline ends reading when t is over already, or allows it when t is zero.
func (w *wire) SetReadDeadline(t time.Time) error { return w.limit(&w.in, t) }

// SetWriteDeadline is SetReadDeadline for writing.
func (w *wire) SetWriteDeadline(t time.Time) error { return w.limit(&w.out, t) }

func (w *wire) limit(s *side, t time.Time) error {
	switch {
	case w.closed.Load():
		return net.ErrClosed
	case t.IsZero():
		s.late.Store(false)
	case time.Until(t) > 0:
		return os.ErrNoDeadline
	default:
		s.late.Store(true)
		s.signal(&w.ready, nil)
	}
	return nil
}
