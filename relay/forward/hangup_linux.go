package forward

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// rawOf returns the socket below c, through TLS and the PROXY protocol; nil if there is none.
func rawOf(c net.Conn) syscall.RawConn {
	for {
		switch t := c.(type) {
		case syscall.Conn:
			raw, err := t.SyscallConn()
			if err != nil {
				return nil
			}
			return raw
		case interface{ NetConn() net.Conn }:
			c = t.NetConn()
		case interface{ Raw() net.Conn }:
			c = t.Raw()
		default:
			return nil
		}
	}
}

// hungUp reports whether the other side has closed its half, or the connection has failed. What it sent before stays to be read.
func hungUp(raw syscall.RawConn) bool {
	var gone bool
	err := raw.Control(func(fd uintptr) {
		one := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}} // POLLERR and POLLHUP need not be asked for
		n, err := unix.Poll(one, 0)
		gone = err == nil && n > 0
	})
	return err != nil || gone
}

// LoseSilent has the connections that l accepts fail when the other side acknowledges nothing for so long, neither bytes nor
// keep-alive probes: a client that vanished without a word. What takes the bytes and does not read them counts as well. A
// socket of multipath TCP, which may have been inherited, knows no such limit and stays as it is.
func LoseSilent(l net.Listener, after time.Duration) error {
	c, ok := l.(*net.TCPListener)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { // on Linux accepted connections have what their listener has
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(after.Milliseconds()))
	})
	if errors.Is(failed, unix.ENOPROTOOPT) {
		failed = nil
	}
	return errors.Join(err, failed)
}
