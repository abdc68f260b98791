package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// parent is what systemd is in life: it has the socket and starts the program with it.
type parent struct {
	binary, file string
	socket       *os.File
}

func (p *parent) start(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" serve --config "$1"`, p.binary, p.file)
	cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=listen")
	cmd.ExtraFiles = []*os.File{p.socket}
	log := new(strings.Builder)
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if t.Failed() {
			t.Logf("process %d said:\n%s", cmd.Process.Pid, log)
		}
	})
	return cmd
}

// TestRestart: two restarts under load with an inherited socket fail no request, and a WebSocket that is open
// stays so until shutdown_timeout.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	p := &parent{binary: buildGateway(t), file: filepath.Join(dir, "sealgate.yaml")}
	upstream := restartUpstream(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if p.socket, err = l.(*net.TCPListener).File(); err != nil {
		t.Fatal(err)
	}
	l.Close() // the descriptor stays
	defer p.socket.Close()
	config := fmt.Sprintf("domain: %[1]s\nlisten: %[1]s\nupstream: {web: http://%[2]s}\npolicy: {preset: open}\nadmin: {listen: %[3]q}\nshutdown_timeout: 3s\n",
		address, upstream, freeAddress(t))
	if err := os.WriteFile(p.file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	old := p.start(t)
	getWhenReady(t, http.DefaultClient, "http://"+address+"/").Body.Close()

	stop := make(chan struct{})
	var load sync.WaitGroup
	var asked, failed atomic.Int64
	for i := range 8 {
		load.Go(func() {
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}, Timeout: 20 * time.Second}
			defer c.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if asked.Add(1); !askOnce(t, c, "http://"+address+"/x", i) {
					failed.Add(1)
				}
			}
		})
	}
	socket := openSocket(t, address)
	for range 2 {
		next := p.start(t)
		before := asked.Load()
		if err := old.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := old.Wait(); err != nil {
			t.Errorf("the old process: %v", err)
		}
		getWhenReady(t, http.DefaultClient, "http://"+address+"/").Body.Close()
		if socket != nil {
			if asked.Load()-before < 100 {
				t.Errorf("only %d requests were served while a WebSocket was open in the old process", asked.Load()-before)
			}
			if n := socket.echoes(t); n < 10 {
				t.Errorf("the WebSocket echoed %d times after the stop began", n)
			}
			socket = nil
		}
		old = next
	}
	close(stop)
	load.Wait()
	t.Logf("%d requests, %d failed", asked.Load(), failed.Load())
	if failed.Load() > 0 || asked.Load() < 200 {
		t.Errorf("%d of %d requests failed", failed.Load(), asked.Load())
	}
	_ = old.Process.Signal(syscall.SIGTERM)
	if err := old.Wait(); err != nil {
		t.Errorf("the last process: %v", err)
	}
}

func askOnce(t *testing.T, c *http.Client, url string, i int) bool {
	method, body := http.MethodGet, io.Reader(nil)
	if i%4 > 1 {
		method, body = http.MethodPost, strings.NewReader("hello")
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Error(err)
		return false
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Errorf("%s: %v", method, err)
		return false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || string(b) != method {
		t.Errorf("%s: %d %q %v", method, resp.StatusCode, b, err)
		return false
	}
	return true
}

// restartUpstream answers with the method, and echoes on /socket.
func restartUpstream(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, r.Method)
			return
		}
		echoSocket(w)
	})}
	t.Cleanup(func() { s.Close() })
	go func() { _ = s.Serve(l) }()
	return l.Addr().String()
}

// webSocket sends a byte every 50 ms and counts what comes back after the first second.
// echoSocket accepts an upgrade and sends back what comes.
func echoSocket(w http.ResponseWriter) {
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n") // to the key of RFC 6455 §1.3
	_, _ = io.Copy(c, rw)
}

type webSocket struct {
	count atomic.Int64
	ended chan struct{}
}

func openSocket(t *testing.T, address string) *webSocket {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", address)
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil) //nolint:bodyclose // there is none: it is a tunnel now
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("upgrade: %v %v", resp, err)
	}
	s := &webSocket{ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
			if _, err := c.Write([]byte("x")); err != nil {
				return
			}
			if _, err := br.ReadByte(); err != nil {
				return
			}
			s.count.Add(1)
		}
	}()
	return s
}

// echoes waits until the socket was cut and returns how often it echoed.
func (s *webSocket) echoes(t *testing.T) int64 {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		t.Error("the WebSocket outlived the process")
	}
	return s.count.Load()
}
