package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWaysInAndOut: a TCP and a unix listener at once, both with the PROXY protocol, before an instance and a
// streaming server on unix sockets. The instance is told the client that the header names, and a WebSocket reaches
// the streaming server, where each half of it closes by itself.
func TestWaysInAndOut(t *testing.T) {
	dir, tcp := t.TempDir(), freeAddress(t)
	serveUnix(t, filepath.Join(dir, "web"), func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header["X-Forwarded-For"], r.Header["X-Real-Ip"])
	})
	serveUnix(t, filepath.Join(dir, "streaming"), func(w http.ResponseWriter, _ *http.Request) { echoSocket(w) })
	config := fmt.Sprintf("domain: social.example\nlisten: [%q, \"unix:front\"]\nproxy_protocol: trusted\nadmin: {listen: %q}\n"+
		"upstream: {web: \"unix:web\", streaming: \"unix:streaming\"}\n", tcp, freeAddress(t))
	defer serveConfig(t, dir, config)()
	const v1 = "PROXY TCP4 9.9.9.9 10.0.0.1 5555 80\r\n"
	const v2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x09\x09\x09\x09\x0a\x00\x00\x01\x15\xb3\x00\x50"
	for _, network := range []string{"tcp", "unix"} {
		address := map[string]string{"tcp": tcp, "unix": filepath.Join(dir, "front")}[network]
		for _, header := range []string{v1, v2} {
			c := dialWhenReady(t, network, address)
			fmt.Fprint(c, header+"GET / HTTP/1.1\r\nHost: social.example\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nConnection: close\r\n\r\n")
			if b, err := io.ReadAll(c); !strings.HasSuffix(string(b), "[9.9.9.9] [9.9.9.9]") || err != nil {
				t.Errorf("%s: got %q, %v", network, b, err)
			}
			c = dialWhenReady(t, network, address)
			fmt.Fprint(c, header+"GET /api/v1/streaming/?stream=user HTTP/1.1\r\nHost: social.example\r\n"+handshake+"\r\nlast words")
			if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(c)
			resp, err := http.ReadResponse(r, nil) //nolint:bodyclose // it is a tunnel
			if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("%s: %v, %v", network, resp, err)
			}
			if b, err := io.ReadAll(r); string(b) != "last words" || err != nil {
				t.Errorf("%s: echoed %q, %v", network, b, err)
			}
		}
	}
}

func serveUnix(t *testing.T, path string, h http.HandlerFunc) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
}

func dialWhenReady(t *testing.T, network, address string) net.Conn {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial(network, address)
		if err == nil {
			t.Cleanup(func() { c.Close() })
			_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // it fails only when closed
			return c
		}
		select {
		case <-deadline:
			t.Fatalf("the gateway does not listen: %v", err)
		case <-tick.C:
		}
	}
}
