package forward //nolint:testpackage // a request that does not fit cannot be provoked from outside

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asking is a reader of one end of a socket of which the kernel takes little at once, and the other end.
func asking(t *testing.T) (r *reader, peer net.Conn) {
	t.Helper()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.(*net.UnixConn).SetWriteBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if peer, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	s, pool := new(socket), newBuffers(4096, nil)
	s.open(c)
	r = new(reader)
	r.open(s, &pool)
	return r, peer
}

// TestAskThatDoesNotFit: a request larger than the kernel takes at once is sent in part, without waiting; the rest
// goes the ordinary way, and the reply is read after it.
func TestAskThatDoesNotFit(t *testing.T) {
	r, peer := asking(t)
	large := []byte(strings.Repeat("x", 1<<20))
	n, err := r.ask(large)
	if n == 0 || n == len(large) || err != nil || len(r.buffered()) > 0 {
		t.Fatalf("%d bytes went out, %v, %d came back", n, err, len(r.buffered()))
	}
	if m, err := r.ask(large[n:]); m != 0 || err != nil || len(r.buffered()) > 0 {
		t.Fatalf("%d bytes more went out, %v, %d came back", m, err, len(r.buffered()))
	}
	go func() {
		if m, _ := io.CopyN(io.Discard, peer, int64(len(large))); m == int64(len(large)) {
			io.WriteString(peer, "all")
		}
	}()
	if _, err := r.sock.Write(large[n:]); err != nil {
		t.Fatal(err)
	}
	if err := r.fill(0); string(r.buffered()) != "all" {
		t.Errorf("got %q, %v", r.buffered(), err)
	}
}

// TestAskOfWhoHasLeft: a request that cannot be sent is an error, at once.
func TestAskOfWhoHasLeft(t *testing.T) {
	r, peer := asking(t)
	peer.Close()
	if n, err := r.ask([]byte("x")); n != 0 || !errors.Is(err, syscall.EPIPE) {
		t.Errorf("%d bytes went out, %v", n, err)
	}
}
