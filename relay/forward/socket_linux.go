package forward

import (
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket reads and writes without waiting, and without telling the scheduler: calls that never wait need not
// have their processor handed to another thread, which costs more than they do.
// One goroutine may read while another writes.
type socket struct {
	conn net.Conn
	wire *wire           // conn, if it is one
	raw  syscall.RawConn // nil: conn is not a plain socket

	// The piece on its way out.
	out   []byte
	n     int
	err   error
	write func(uintptr) bool // tryWrite, made once
}

func (s *socket) open(c net.Conn) {
	s.conn = c
	s.wire, _ = c.(*wire)
	if s.wire == nil && !plainSocket(c) {
		return
	}
	if p, ok := c.(syscall.Conn); ok {
		if raw, err := p.SyscallConn(); err == nil {
			s.raw, s.write = raw, s.tryWrite
		}
	}
}

func plainSocket(c net.Conn) bool {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// Write writes all of p, waiting where it must, and returns how much of it went out.
func (s *socket) Write(p []byte) (int, error) {
	if s.raw == nil {
		return s.conn.Write(p)
	}
	s.out, s.n, s.err = p, 0, nil
	err := s.raw.Write(s.write)
	s.out = nil
	if err == nil {
		err = s.err
	}
	return s.n, err
}

// tryWrite writes what it can; false means that the rest must wait.
func (s *socket) tryWrite(fd uintptr) bool {
	for s.n < len(s.out) {
		n, errno := sendNow(fd, s.out[s.n:])
		switch errno {
		case 0:
			s.n += n
		case unix.EAGAIN:
			return false
		default:
			s.err = errno
			return true
		}
	}
	return true
}

// sendNow writes some of p, which is not empty, or fails with EAGAIN. It never waits, and does not tell the scheduler: a call that
// never waits need not have its processor handed to another thread, which costs more than it does.
func sendNow(fd uintptr, p []byte) (int, syscall.Errno) {
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	return transfer(unix.SYS_SENDTO, fd, p, flags)
}

// sendPiecesNow is sendNow for several pieces.
func sendPiecesNow(fd uintptr, pieces [][]byte) (int, syscall.Errno) {
	n, err := unix.SendmsgBuffers(int(fd), pieces, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	if errno, ok := err.(syscall.Errno); ok { //nolint:errorlint // the system's own, unwrapped
		return 0, errno
	}
	return n, 0
}

// receiveNow reads into p, which is not empty, or fails with EAGAIN. Zero bytes are the end.
func receiveNow(fd uintptr, p []byte) (int, syscall.Errno) {
	return transfer(unix.SYS_RECVFROM, fd, p, unix.MSG_DONTWAIT)
}

// quietNow reports whether there is nothing to read on fd, neither bytes nor the end.
func quietNow(fd uintptr) bool {
	var first [1]byte
	_, errno := transfer(unix.SYS_RECVFROM, fd, first[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	return errno == unix.EAGAIN
}

func transfer(call, fd uintptr, p []byte, flags uintptr) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(call, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0) //nolint:gosec // p lives through the call
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// epollFor returns the events that come within so many nanoseconds, less than a second. It does not tell the scheduler that it waits. Kernels before
// 5.11 do not wait.
func epollFor(epoll int, events []unix.EpollEvent, nanoseconds int64) (int, syscall.Errno) {
	wait := struct{ seconds, nanoseconds int64 }{nanoseconds: nanoseconds}
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), //nolint:gosec // both live through the call
		uintptr(unsafe.Pointer(&wait)), 0, 0) //nolint:gosec // as above
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
