package forward //nolint:testpackage // what a link knows of its request cannot be seen from outside

import (
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// endings are what the other side of a kept connection does when the next request comes, and whether it certainly has not read it.
var endings = []struct {
	name      string
	untouched bool
	before    bool // it ends before the request is sent
	end       func(far *net.TCPConn)
}{
	{"has closed", true, true, func(far *net.TCPConn) { far.Close() }},
	{"reads and closes", false, false, func(far *net.TCPConn) { readRequest(far); far.Close() }},
	{"reads and resets", false, false, func(far *net.TCPConn) { readRequest(far); far.SetLinger(0); far.Close() }},
	{"closes without reading", false, false, func(far *net.TCPConn) { awaitRequest(far); far.Close() }},
}

const linkRequest = "request"

func readRequest(far net.Conn) { io.ReadFull(far, make([]byte, len(linkRequest))) }

// awaitRequest waits until the kernel has the request.
func awaitRequest(far *net.TCPConn) {
	raw, _ := far.SyscallConn()
	raw.Read(func(fd uintptr) bool {
		n, _, _ := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return n > 0
	})
}

// TestLinkKnowsWhatWasNotRead: whatever could have been read must not be sent again.
func TestLinkKnowsWhatWasNotRead(t *testing.T) {
	both(t, func(t *testing.T, k *task) {
		for _, e := range endings {
			l, far := kept(t, k)
			ended := make(chan struct{})
			end := func() { defer close(ended); e.end(far) }
			if e.before {
				end()
			} else {
				go end()
			}
			asked := l.ask([]byte(linkRequest))
			answered := l.rd.fill(1)
			k.aside(func() { <-ended })
			if l.reset = isReset(asked) || isReset(answered); answered == nil || l.untouched() != e.untouched {
				t.Errorf("%s: asked %v, answered %v, untouched %v", e.name, asked, answered, !e.untouched)
			}
			l.drop()
		}
	})
}

// kept is a link of k that has carried a request, and its other end.
func kept(t *testing.T, k *task) (*link, *net.TCPConn) {
	t.Helper()
	n, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	u, err := NewUpstream(UpstreamOptions{URL: "http://" + n.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	l, err := u.dial(k)
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() { readRequest(c); io.WriteString(c, "answer") }()
	if err := l.ask([]byte(linkRequest)); err != nil {
		t.Fatal(err)
	}
	l.rd.consume(len(l.rd.buffered()))
	l.used, l.sent, l.now = true, l.now, 0
	return l, c.(*net.TCPConn)
}
