package forward

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// probe asks the kernel about a kept connection without waiting and without reading.
type probe struct {
	raw   syscall.RawConn
	quiet bool
	acked uint64
	known bool
	look  func(uintptr)
	ask   func(uintptr)
}

func (p *probe) open(raw syscall.RawConn) {
	p.raw = raw
	p.look, p.ask = p.peek, p.info
}

// usable reports whether nothing has happened on an unused connection: neither its end nor bytes nobody
// asked for.
func (p *probe) usable() bool {
	if p.raw == nil {
		return true
	}
	p.quiet = false
	return p.raw.Control(p.look) == nil && p.quiet
}

func (p *probe) peek(fd uintptr) { p.quiet = quietNow(fd) }

// delivered returns how many bytes the other side's kernel has acknowledged since the connection began,
// and false where that is unknown (unix sockets).
func (p *probe) delivered() (uint64, bool) {
	if p.raw == nil {
		return 0, false
	}
	p.known = false
	if p.raw.Control(p.ask) != nil {
		return 0, false
	}
	return p.acked, p.known
}

func (p *probe) info(fd uintptr) {
	i, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if p.known = err == nil; p.known {
		p.acked = i.Bytes_acked
	}
}
