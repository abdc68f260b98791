package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

// sloth is a server that is slow: what it is asked about sleepers it does not answer before wake.
type sloth struct {
	http.Handler

	wake chan struct{}
	once sync.Once
}

func newSloth(t *testing.T) *sloth {
	t.Helper()
	s := &sloth{wake: make(chan struct{})}
	t.Cleanup(s.awake)
	return s
}

func (s *sloth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.RequestURI(), "sleeper") {
		<-s.wake
	}
	s.Handler.ServeHTTP(w, r)
}

func (s *sloth) awake() { s.once.Do(func() { close(s.wake) }) }

// newSlothfulPeer is an instance elsewhere that is slow to tell its sleepers' keys.
func newSlothfulPeer(t *testing.T) (*sloth, *instance.Instance) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	i := instance.New(instance.Options{Origin: "http://" + server.Listener.Addr().String()})
	s := newSloth(t)
	s.Handler, server.Config.Handler = i, s
	server.Start()
	t.Cleanup(func() { s.awake(); server.Close() })
	return s, i
}

// crowd is a gateway with 64 places for MLS, and who takes them.
type crowd struct {
	*battered

	home     *sloth
	waiting  sync.WaitGroup
	answered chan struct{} // once for each that no longer waits
	client   int           // the next client address
}

// occupy has n messages of somebody's, eight from each address, under way, for bob and others.
func (c *crowd) occupy(n int, p *instance.Person, others ...string) {
	c.t.Helper()
	for i := range n {
		if i%8 == 0 {
			c.client++
		}
		r := c.message(p, privateMessage(1), others...)
		r.Header.Set("X-Forwarded-For", fmt.Sprint("10.0.0.", c.client))
		c.waiting.Go(func() {
			_, _, _ = c.do(c.t.Context(), r)
			c.answered <- struct{}{}
		})
	}
}

// sleepers are people whom the instance is asked about one after the other, until its answers are not waited for any longer.
func (c *crowd) sleepers() []string {
	ids := make([]string, 4)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s/@sleeper%d", c.process.URL, i)
	}
	return ids
}

// message is one to bob and others.
func (c *crowd) message(from *instance.Person, content string, others ...string) *http.Request {
	id := from.Actor + "/activities/" + strconv.Itoa(int(time.Now().UnixNano()))
	body, err := json.Marshal(map[string]any{
		"type": "Create", "id": id, "actor": from.Actor, "to": append(others, c.bob.Actor),
		"object": map[string]any{"type": "PrivateMessage", "attributedTo": from.Actor, "mediaType": "message/mls", "encoding": "base64", "content": content},
	})
	if err != nil {
		panic(err)
	}
	return c.signed(from, http.MethodPost, "/inbox", string(body))
}

// settles asks until it is answered so.
func (c *crowd) settles(what string, status int, ask func() *http.Request) http.Header {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		got, header, body := c.do(c.t.Context(), ask())
		if got == status {
			return header
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: %d %s, want %d", what, got, body, status)
		}
	}
}

// TestOverload: who waits for a key server that is slow takes few places; as more and more is under way in the built gateway, invitations
// and key fetches are told 503 first, messages of groups go on, and are told so when all is taken; ordinary requests are served throughout;
// large bodies take no memory; and when what was under way ends all is taken again.
func TestOverload(t *testing.T) {
	t.Setenv("SEALGATE_LIMITS_INTAKE", "4MiB")
	t.Setenv("SEALGATE_MEMORY", "128MiB")
	t.Setenv("SEALGATE_FEDERATION_TIMEOUT", "5m")
	c := &crowd{home: newSloth(t), answered: make(chan struct{}, 1000)}
	c.battered = newBatteredBehind(t, func(home http.Handler) http.Handler {
		c.home.Handler = home
		return c.home
	})
	c.battered.client.Transport.(*http.Transport).MaxConnsPerHost = 0
	c.publish(1)
	friend := c.others[0]
	fetch := func() *http.Request { return c.signed(friend, http.MethodGet, "/e2ee/users/alice/keyPackages", "") }
	group := func() *http.Request { return c.message(friend, privateMessage(1)) }
	invite := func() *http.Request {
		return c.message(friend, base64.StdEncoding.EncodeToString(inboxtest.Welcome([]byte("nobody's"))))
	}
	ordinary := func() *http.Request { return c.request(http.MethodGet, c.process.URL+"/@bob", "", "") }
	c.settles("at rest, of a group", 202, group)
	c.settles("at rest, a key fetch", 200, fetch)
	c.settles("at rest, an invitation that nobody could open", 403, invite)

	peer, slow := newSlothfulPeer(t)
	sleeper := c.person(slow, "sleeper")
	c.occupy(64, sleeper)
	for range 60 { // of the 16 places that may wait, one host has four
		<-c.answered
	}
	for range 16 {
		c.accepts("while keys are slow, an invitation", 403, invite())
		c.accepts("while keys are slow, of a group", 202, group())
	}
	peer.awake()
	c.waiting.Wait()

	c.occupy(33, friend, c.sleepers()...)
	for what, ask := range map[string]func() *http.Request{"a key fetch": fetch, "an invitation": invite} {
		if h := c.settles("half full, "+what, 503, ask); h.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", what)
		}
	}
	c.settles("half full, of a group", 202, group)
	c.settles("half full, an ordinary page", 200, ordinary)

	c.occupy(33, friend, c.sleepers()...)
	if h := c.settles("full, of a group", 503, group); h.Get("Retry-After") == "" {
		t.Error("a message of a group: no Retry-After")
	}
	c.settles("full, an ordinary page", 200, ordinary)
	c.refusesLargeBodies()

	c.home.awake()
	c.waiting.Wait()
	c.settles("again, of a group", 202, group)
	c.settles("again, a key fetch", 200, fetch)
	c.settles("again, an invitation", 403, invite)
	said := c.process.Counted(t.Context())
	for _, why := range []string{`class="contact",reason="full"`, `class="contact",reason="key"`, `class="group",reason="full"`} {
		if !strings.Contains(said, "shed_total{"+why) {
			t.Errorf("the metrics do not say %s:\n%s", why, said)
		}
	}
}

// accepts asks once.
func (c *crowd) accepts(what string, status int, r *http.Request) {
	c.t.Helper()
	if got, _, body := c.do(c.t.Context(), r); got != status {
		c.t.Errorf("%s: %d %s, want %d", what, got, body, status)
	}
}

// refusesLargeBodies begins 300 posts of 900 KiB that do not end: 264 MiB, for which there are 16.
func (c *crowd) refusesLargeBodies() {
	c.t.Helper()
	before := c.anonymous()
	body := strings.Repeat("x", 900<<10)
	var refused atomic.Int64
	for i := range 300 {
		conn, err := net.Dial("tcp", c.options.Listen)
		if err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() { _ = conn.Close() })
		go func() { // it ends when the connection does
			_, _ = fmt.Fprintf(conn, "POST /inbox HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: 10.1.%d.1\r\nContent-Length: %d\r\n\r\n%s", c.options.Listen, i%8, len(body)+1, body)
		}()
		go func() {
			answer := make([]byte, 12)
			if _, err := io.ReadFull(conn, answer); err == nil && string(answer) == "HTTP/1.1 503" {
				refused.Add(1)
			}
		}()
	}
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for refused.Load() < 200 { // 18 have room; some that are refused are reset before they can read why
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("%d of 300 were refused", refused.Load())
		}
	}
	if grown := c.anonymous() - before; grown > 160 {
		c.t.Errorf("memory grew by %d MiB", grown)
	}
}

// anonymous is the memory of the gateway that is no file's, in MiB.
func (b *battered) anonymous() int {
	b.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.process.PID))
	if err != nil {
		b.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.t.Fatal(err)
	}
	return kib >> 10
}
