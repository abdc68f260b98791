package forward

import (
	"errors"
	"io"
	"syscall"
)

// reader buffers what a connection sends. While it waits for a byte and holds none, it holds no memory
// either: the buffer is taken when there is something to put into it.
// Not safe for concurrent use.
type reader struct {
	sock *socket
	pool *buffers
	box  *[]byte // what pool gave; nil: none
	buf  []byte
	r, w int

	// onWait, if set, is flushed before a read that may block.
	onWait flusher

	try     func(uintptr) bool // tryRead, made once
	drained bool               // it took all that there was
	n       int
	err     error

	both   func(uintptr) bool // tryAsk, made once
	asking []byte             // what ask sends
	asked  int                // how much of it went out
}

// flusher holds bytes back until flush.
type flusher interface{ flush() error }

func (r *reader) open(s *socket, pool *buffers) {
	r.sock, r.pool, r.try, r.both = s, pool, r.tryRead, r.tryAsk
}

// buffered returns what has been read and not consumed. It is valid until the next fill.
func (r *reader) buffered() []byte { return r.buf[r.r:r.w] }

func (r *reader) consume(n int) { r.r += n }

// fill reads at least one byte more, or returns an error: io.EOF at the end. A full buffer grows up to limit.
func (r *reader) fill(limit int) error {
	if r.onWait != nil {
		if err := r.onWait.flush(); err != nil {
			return toClient(err)
		}
	}
	if err := r.room(limit); err != nil {
		return err
	}
	if r.sock.raw == nil {
		return r.plainFill()
	}
	r.n, r.err = 0, nil
	if w := r.sock.wire; w != nil && r.drained && !w.over.Load() { // reading would come too early
		r.release()
		if err := w.await(&w.in); err != nil {
			return err
		}
	}
	if err := r.sock.raw.Read(r.try); err != nil {
		return err
	}
	return r.took(r.n, r.err)
}

func (r *reader) plainFill() error {
	r.hold()
	n, err := r.sock.conn.Read(r.buf[r.w:])
	if n > 0 {
		err = nil
	}
	return r.took(n, err)
}

func (r *reader) took(n int, err error) error {
	if err != nil {
		return err
	}
	if n == 0 {
		return io.EOF
	}
	r.w += n
	return nil
}

// tryRead reads without waiting; false means that nothing was there.
func (r *reader) tryRead(fd uintptr) bool {
	r.hold()
	n, errno := receiveNow(fd, r.buf[r.w:])
	r.drained = n < len(r.buf)-r.w
	switch errno {
	case 0:
		r.n = n
	case syscall.EAGAIN:
		r.release()
		return false
	default:
		r.err = errno
	}
	return true
}

// ask sends p and reads the first of what comes back, in one turn of the poller: it is told of everything that
// arrives after the write, so no read comes too early. It returns how much of p went out; unless that is all,
// nothing was read.
func (r *reader) ask(p []byte) (int, error) {
	r.asking, r.asked, r.n, r.err = p, 0, 0, nil
	err := r.sock.raw.Read(r.both)
	r.asking = nil
	if err != nil || r.err != nil || r.asked < len(p) {
		return r.asked, errors.Join(err, r.err)
	}
	return r.asked, r.took(r.n, nil)
}

// tryAsk writes once, and then reads without waiting; false means that nothing has come yet.
func (r *reader) tryAsk(fd uintptr) bool {
	if r.asked > 0 {
		return r.tryRead(fd)
	}
	n, errno := sendNow(fd, r.asking)
	switch errno {
	case 0:
		r.asked = n
		return n < len(r.asking)
	case syscall.EAGAIN:
	default:
		r.err = errno
	}
	return true
}

// task is whose the connection is, if a loop watches it.
func (r *reader) task() *task {
	if r.sock.wire == nil {
		return nil
	}
	return r.sock.wire.task
}

// hold makes sure that there is a buffer.
func (r *reader) hold() {
	if r.buf == nil {
		r.box = r.pool.take(r.task())
		r.buf, r.r, r.w = *r.box, 0, 0
	}
}

// release gives the buffer back if it holds nothing.
func (r *reader) release() {
	if r.box == nil || r.r != r.w {
		return
	}
	r.pool.give(r.task(), r.box)
	r.box, r.buf, r.r, r.w = nil, nil, 0, 0
}

// room makes space behind w.
func (r *reader) room(limit int) error {
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if r.w < len(r.buf) || r.buf == nil {
		return nil
	}
	if r.r > 0 {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
		return nil
	}
	if len(r.buf) >= limit {
		return errHeadTooLarge
	}
	bigger := make([]byte, min(2*len(r.buf), limit))
	copy(bigger, r.buf)
	r.pool.give(r.task(), r.box)
	r.box, r.buf = &bigger, bigger
	return nil
}

// head reads until a whole head is buffered and returns its length. The bytes stay buffered.
func (r *reader) head(limit int) (int, error) {
	searched := 0
	for {
		end, next, err := headEnd(r.buffered(), searched)
		if err != nil {
			return 0, err
		}
		if end > limit || end == 0 && len(r.buffered()) >= limit {
			return 0, errHeadTooLarge
		}
		if end > 0 {
			return end, nil
		}
		searched = next
		if err := r.fill(limit); err != nil {
			return 0, err
		}
	}
}
