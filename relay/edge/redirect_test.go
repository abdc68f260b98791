package edge_test

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"github.com/sealgate/sealgate/relay/edge"
)

func TestRedirect(t *testing.T) {
	r := edge.Redirect{Base: "https://social.example", Challenge: func(path string) ([]byte, bool) {
		return []byte("token.thumbprint"), path == "/.well-known/acme-challenge/token"
	}}
	for _, c := range []struct {
		method, target string
		status         int
		location       string
	}{
		{"GET", "/", 301, "https://social.example/"},
		{"HEAD", "/a//b/%2e?c=%20#", 301, "https://social.example/a//b/%2e?c=%20#"},
		{"POST", "/inbox", 308, "https://social.example/inbox"},
		{"GET", "http://evil.example/x?y", 301, "https://social.example/x?y"},
		{"GET", "http://evil.example?y", 301, "https://social.example/"},
		{"GET", "//evil.example/", 301, "https://social.example//evil.example/"},
		{"OPTIONS", "*", 400, ""},
		{"GET", "/.well-known/acme-challenge/token", 200, ""},
		{"POST", "/.well-known/acme-challenge/token", 308, "https://social.example/.well-known/acme-challenge/token"},
		{"GET", "/.well-known/acme-challenge/other", 301, "https://social.example/.well-known/acme-challenge/other"},
	} {
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.SetMethod(c.method)
		ctx.Request.Header.SetRequestURI(c.target)
		ctx.Request.Header.SetHost("evil.example")
		r.Handle(&ctx)
		if got := string(ctx.Response.Header.Peek("Location")); ctx.Response.StatusCode() != c.status || got != c.location {
			t.Errorf("%s %s: %d %q", c.method, c.target, ctx.Response.StatusCode(), got)
		}
		if len(ctx.Response.Header.Peek("Cache-Control")) == 0 {
			t.Errorf("%s %s: no Cache-Control", c.method, c.target)
		}
	}
}

// TestInheritNothing: what is meant for another process, or for none, is not touched.
func TestInheritNothing(t *testing.T) {
	for name, environment := range map[string]map[string]string{
		"none":        {},
		"another":     {"LISTEN_PID": "8", "LISTEN_FDS": "1"},
		"no pid":      {"LISTEN_FDS": "1"},
		"no sockets":  {"LISTEN_PID": "7"},
		"zero":        {"LISTEN_PID": "7", "LISTEN_FDS": "0"},
		"not numbers": {"LISTEN_PID": "x", "LISTEN_FDS": "1"},
	} {
		in, err := edge.Inherit(7, func(key string) (string, bool) { v, ok := environment[key]; return v, ok })
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, ok := in.Next(); ok || in.Left() != nil || in.Close() != nil {
			t.Errorf("%s: a socket appeared", name)
		}
	}
	for _, count := range []string{"x", "-1", "9999", ""} {
		_, err := edge.Inherit(7, func(key string) (string, bool) {
			if key == "LISTEN_FDS" {
				return count, true
			}
			return strconv.Itoa(7), true
		})
		if err == nil {
			t.Errorf("LISTEN_FDS=%q was taken", count)
		}
	}
}

// TestInheritWhatListens: what is no listening socket is refused with the cure, before anything waits on it.
func TestInheritWhatListens(t *testing.T) {
	f := func(what string, kind int, listens bool) {
		t.Helper()
		fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
		}
		if listens {
			err = errors.Join(err, unix.Listen(fd, 1))
		}
		if err != nil {
			t.Fatal(err)
		}
		l, err := edge.ListenerOf(fd)
		switch {
		case err == nil && !listens:
			t.Errorf("%s was taken", what)
		case err != nil && (listens || !strings.Contains(err.Error(), "ListenStream=")):
			t.Errorf("%s: %v", what, err)
		}
		if err == nil {
			_ = l.Close()
		}
	}
	f("a listener", unix.SOCK_STREAM, true)
	f("a socket that was never told to listen", unix.SOCK_STREAM, false)
	f("datagrams", unix.SOCK_DGRAM, false)
	if _, err := edge.ListenerOf(1 << 20); err == nil {
		t.Error("a descriptor that is closed was taken")
	}
}

var _ net.Listener = (*edge.Listener)(nil)
