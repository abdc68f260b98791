package peers_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// tap stands between gateway and instance and keeps every byte that goes to
// the instance, so that a test can say what never did.
type tap struct {
	address string
	sent    output
}

func startTap(t *testing.T, upstream string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{address: l.Addr().String()}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { p.join(c, upstream) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		open.Wait()
	})
	return p
}

// join copies both ways until either side has closed.
func (p *tap) join(c net.Conn, upstream string) {
	defer c.Close()
	u, err := net.Dial("tcp", upstream)
	if err != nil {
		return
	}
	defer u.Close()
	var back sync.WaitGroup
	back.Go(func() {
		io.Copy(c, u)
		c.Close()
	})
	io.Copy(io.MultiWriter(&p.sent, u), c)
	u.Close()
	back.Wait()
}
