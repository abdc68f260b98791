package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	demo "github.com/sealgate/sealgate/cmd/demo/gateway"
	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/storage"
)

// served is a gateway that runs in this process, before a sample instance with one person.
type served struct {
	base     string
	file     string // its configuration
	upstream string // host:port of the instance
	data     string
	bob      *instance.Person
	sample   *instance.Instance
	slow     atomic.Pointer[func()] // called by the instance's /slow
	cookies  atomic.Pointer[string] // what the instance saw last
	stop     context.CancelFunc
	ended    chan int
	log      *bytes.Buffer // to be read when ended
}

// serveHere starts it and returns when it is ready. It is stopped by the end of the test.
func serveHere(t *testing.T) *served {
	t.Helper()
	s := newServed(t, "bob", instance.OpenFetch, "")
	s.start(t)
	return s
}

// newServed is one that was not started yet, before an instance with one person; more are further sections of its configuration.
func newServed(t *testing.T, name string, fetch instance.Fetch, more string) *served {
	t.Helper()
	listen := freeAddress(t)
	s := &served{base: "http://" + listen, data: t.TempDir(), ended: make(chan int, 1), log: &bytes.Buffer{}}
	s.sample = instance.New(instance.Options{Origin: s.base, IDs: instance.Numeric, Fetch: fetch})
	var err error
	if s.bob, err = s.sample.AddPerson(name); err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wait := s.slow.Load(); wait != nil && r.URL.Path == "/slow" {
			(*wait)()
		}
		cookies := strings.Join(r.Header.Values("Cookie"), "; ")
		s.cookies.Store(&cookies)
		s.sample.ServeHTTP(w, r)
	}))
	t.Cleanup(upstream.Close)
	s.upstream = upstream.Listener.Addr().String()
	s.file = filepath.Join(s.data, "sealgate.yaml")
	config := fmt.Sprintf(`
domain: %[1]s
listen: %[1]s
upstream: {web: %[2]q}
policy: {preset: open}
federation: {allow_plain_http: true, allow_networks: [127.0.0.0/8]}
admin: {listen: %[3]s}
%[4]s
`, listen, upstream.URL, freeAddress(t), more)
	if err := os.WriteFile(s.file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// serveConfig serves by a configuration in dir, until end is called.
func serveConfig(t *testing.T, dir, config string) (end func()) {
	t.Helper()
	file := filepath.Join(dir, "sealgate.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended, log := make(chan int, 1), &bytes.Buffer{}
	go func() { ended <- execute(ctx, []string{"serve", "--config", file}, io.Discard, log) }()
	return func() {
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("the gateway ended with %d: %s", code, log)
		}
	}
}

func (s *served) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	s.stop = cancel
	go func() { s.ended <- execute(ctx, []string{"serve", "--config", s.file}, io.Discard, s.log) }()
	t.Cleanup(func() { s.end(t) })
	s.awaitReady(t)
}

// again starts it anew after end, with what it kept.
func (s *served) again(t *testing.T) {
	t.Helper()
	<-s.ended
	s.start(t)
}

// given are the addresses that freeAddress has given, which nobody may listen on yet.
var given sync.Map

// freeAddress gives a loopback address that nobody listens on, and none twice.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		address, err := demo.FreeAddress(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, again := given.LoadOrStore(address, true); !again {
			return address
		}
	}
}

func (s *served) awaitReady(t *testing.T) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if resp, err := http.Get(s.base + "/e2ee/actor"); err == nil {
			resp.Body.Close()
			return
		}
		select {
		case <-deadline:
			t.Fatal("the gateway did not start")
		case code := <-s.ended:
			s.ended <- code
			t.Fatalf("the gateway ended with %d: %s", code, s.log)
		case <-tick.C:
		}
	}
}

// end stops the gateway; it must end well, and only once everything is finished.
func (s *served) end(t *testing.T) {
	t.Helper()
	s.stop()
	select {
	case code := <-s.ended:
		s.ended <- code
		if code != 0 {
			t.Errorf("the gateway ended with %d: %s", code, s.log)
		}
	case <-time.After(20 * time.Second):
		t.Error("the gateway did not stop")
	}
}

func (s *served) command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = execute(t.Context(), append(args, "--config", s.file), &out, &errs)
	return code, out.String(), errs.String()
}

func (s *served) get(t *testing.T, path, token string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/activity+json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, body := exchange(t, req) //nolint:bodyclose // exchange closes it
	return resp.StatusCode, body
}

// exchange sends a request and reads all of the answer.
func exchange(t *testing.T, req *http.Request) (resp *http.Response, body string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// TestCheckSend: the operator's own test message goes the way of a peer's and reaches the mailbox.
func TestCheckSend(t *testing.T) {
	s := serveHere(t)
	if code, out, errs := s.command(t, "check"); code != 0 {
		t.Errorf("check: %d\n%s%s", code, out, errs)
	}
	s.fails(t, "set domain to the host in its actors' ids", "check", "--domain", "another.example")
	code, out, errs := s.command(t, "check", "--send", "bob")
	if code != 0 || !strings.Contains(out, "bob has the test message") {
		t.Fatalf("check --send bob: %d\n%s%s", code, out, errs)
	}
	if code, out, _ := s.command(t, "check", "--send", "nobody"); code != 1 || !strings.Contains(out, "wrong") {
		t.Errorf("check --send nobody: %d\n%s", code, out)
	}
	page := "/e2ee/users/bob/messages?page=1"
	if status, body := s.get(t, page, s.sample.Token(s.bob, "read", "write")); status != 200 || !strings.Contains(body, `"PrivateMessage"`) {
		t.Errorf("the owner's token: %d %s", status, body)
	}
	if status, body := s.get(t, page, ""); status != 401 || strings.Contains(body, "PrivateMessage") {
		t.Errorf("no token: %d %s", status, body)
	}
	eve, err := s.sample.AddPerson("eve")
	if err != nil {
		t.Fatal(err)
	}
	if status, body := s.get(t, page, s.sample.Token(eve, "read", "write")); status != 404 || strings.Contains(body, "PrivateMessage") {
		t.Errorf("another person's token: %d %s", status, body)
	}
	if received := s.sample.Received(); len(received) != 0 {
		t.Errorf("the instance received %d activities", len(received))
	}
}

// TestSlowBodiesMayComeAgain: a body that does not get on is 408 wherever it goes, naming the key, for after a 400 a peer would give
// its message up.
func TestSlowBodiesMayComeAgain(t *testing.T) {
	t.Setenv("SEALGATE_LIMITS_BODY_TIMEOUT", "1s")
	s := serveHere(t)
	host := strings.TrimPrefix(s.base, "http://")
	slow := map[string]net.Conn{}
	for _, path := range []string{"/inbox", "/elsewhere", strings.TrimPrefix(s.bob.Actor, s.base) + "/outbox", "/e2ee/users/bob/push", "/oauth/revoke"} {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{", path, host, s.sample.Token(s.bob, "read", "write"))
		slow[path] = c
	}
	for path, c := range slow {
		b, err := io.ReadAll(c)
		if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 408 ") || !strings.Contains(string(b), "limits.body_timeout") {
			t.Errorf("%s: %q %v", path, b, err)
		}
	}
}

// TestStopFinishesWork: what is under way at SIGTERM is finished, and only then is the store closed.
func TestStopFinishesWork(t *testing.T) {
	s := serveHere(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	wait := func() { close(arrived); <-release }
	s.slow.Store(&wait)
	answered := make(chan int, 1)
	go func() {
		resp, err := http.Get(s.base + "/slow")
		if err != nil {
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	<-arrived
	s.stop()
	s.awaitRefusal(t)
	if _, err := storage.Open(storage.Options{
		Path: filepath.Join(s.data, "data", "store"), Key: make([]byte, storage.KeySize), Retention: time.Hour, Quota: 1 << 20,
	}); err == nil {
		t.Error("the store was closed while a request was under way")
	}
	close(release)
	if status := <-answered; status != http.StatusNotFound {
		t.Errorf("the request under way got %d, not the instance's own 404", status)
	}
	s.end(t)
	if code, out, _ := s.command(t, "check"); !strings.Contains(out, "it opens with storage.encryption_key") {
		t.Errorf("check after the stop: %d\n%s", code, out)
	}
}

// awaitRefusal returns when the public listener takes no more connections.
func (s *served) awaitRefusal(t *testing.T) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.base, "http://"))
		if err != nil {
			return
		}
		c.Close()
		select {
		case <-deadline:
			t.Fatal("the gateway still listens")
		case <-tick.C:
		}
	}
}
