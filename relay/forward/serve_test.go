package forward_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"github.com/sealgate/sealgate/relay/forward"
)

// ailing is a listener whose first calls of Accept fail.
type ailing struct {
	net.Listener
	errs chan error
}

func (a ailing) Accept() (net.Conn, error) {
	select {
	case err := <-a.errs:
		return nil, err
	default:
		return a.Listener.Accept()
	}
}

func hello(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("hello") }

// TestServeGoesOn: what goes away by itself is logged and waited for; what does not ends Serve.
func TestServeGoesOn(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	logged := new(journal)
	s := forward.NewServer(forward.ServerOptions{Handler: hello, Log: journalOf(logged)})
	ill, ended := ailing{l, make(chan error, 1)}, make(chan error, 1)
	ill.errs <- &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", unix.EMFILE)}
	go func() { ended <- s.Serve(t.Context(), ill) }()
	ask := func() {
		c := dial(t, l.Addr().String())
		io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		if b, _ := io.ReadAll(c); len(b) == 0 {
			t.Error("not served")
		}
	}
	ask()
	if n := logged.count("cannot accept a connection"); n != 1 {
		t.Errorf("it is logged %d times", n)
	}
	broken := errors.New("broken")
	ill.errs <- broken
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil { // who comes meanwhile ends the call of Accept that waits
		defer c.Close()
	}
	if err := <-ended; !errors.Is(err, broken) {
		t.Errorf("Serve: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener: %v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestServeThatComesLate: after Shutdown nothing is served, and nothing listens.
func TestServeThatComesLate(t *testing.T) {
	t.Parallel()
	s := forward.NewServer(forward.ServerOptions{Handler: hello})
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), l); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener: %v", err)
	}
}

// TestListenSparesFiles: what is no socket stays.
func TestListenSparesFiles(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/notes"
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := forward.Listen(t.Context(), "unix:"+path); err == nil {
		t.Error("it listens")
	}
	if b, _ := os.ReadFile(path); string(b) != "mine" {
		t.Errorf("the file has %q", b)
	}
}

// TestListenPrivately: bind itself makes a socket that is its owner's alone, whatever the mask.
func TestListenPrivately(t *testing.T) {
	path := t.TempDir() + "/sock"
	mask := unix.Umask(0)
	l, err := forward.ListenPrivately(t.Context(), path)
	unix.Umask(mask)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if about, err := os.Stat(path); err != nil || about.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", about.Mode(), err)
	}
}

// TestTheStatusOfACutReply: a handler learns what the client was told, whatever followed.
func TestTheStatusOfACutReply(t *testing.T) {
	t.Parallel()
	l := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		readHead(c)
		io.WriteString(c, "HTTP/1.1 203 Half\r\nContent-Length: 9\r\n\r\nhalf")
	})
	told := make(chan int, 1)
	g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, func(u *forward.Upstream) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) {
			u.Pass(ctx)
			told <- ctx.Response.StatusCode()
		}
	})
	io.WriteString(dial(t, g.address), next)
	if status := <-told; status != 203 {
		t.Errorf("told %d", status)
	}
}
