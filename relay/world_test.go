package relay_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/signature"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/forward"
)

const (
	domain = "social.example"
	zoe    = "https://far.example/users/zoe"
)

// world is a gateway on loopback in front of an instance, with the store and the
// gate that a test wants.
type world struct {
	*http.Client

	upstream *upstream
	store    inbox.Store
	inbox    *inbox.Inbox
	shutdown func() // begins; the test's end awaits it
	registry *prometheus.Registry
}

// upstream is an instance with alice and bob. It records what reaches it.
type upstream struct {
	*httptest.Server

	mu       sync.Mutex
	received []received
	fail     bool // every API question is 502
	revoked  map[string]bool
}

type received struct {
	method, target, body string
	header               http.Header
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	u.mu.Lock()
	defer u.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/api/v1/accounts/") || r.URL.Path == "/oauth/token/info" {
		u.api(w, r)
		return
	}
	u.received = append(u.received, received{r.Method, r.RequestURI, string(body), r.Header})
	switch {
	case r.Method == http.MethodPost:
		w.Header().Set("X-Upstream", "yes")
		w.WriteHeader(http.StatusAccepted)
	case r.URL.Path == "/users/alice" && strings.Contains(r.Header.Get("Accept"), "json"):
		w.Header().Set("Content-Type", "application/activity+json; charset=utf-8")
		w.Header().Set("Cache-Control", "max-age=180, public")
		w.Header().Set("ETag", `W/"upstream"`)
		doc, _ := os.ReadFile("testdata/mastodon-4.5-actor-named.json")
		_, _ = w.Write(doc)
	case r.URL.Path == "/@alice":
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<html>alice")
	case r.URL.Path == "/users/bob":
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"error":"Request not signed"}`)
	case r.URL.Path == "/api/v1/refuses":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/.well-known/webfinger":
		http.NotFound(w, r)
	default:
		fmt.Fprint(w, "the upstream's ", r.URL.Path)
	}
}

// api is the part of Mastodon's that names people and tokens.
func (u *upstream) api(w http.ResponseWriter, r *http.Request) {
	name := map[string]string{
		"Bearer of-alice": "alice", "Bearer tablet-of-alice": "alice", "Bearer of-bob": "bob", "Bearer narrow": "alice",
	}[r.Header.Get("Authorization")]
	if u.revoked[r.Header.Get("Authorization")] {
		name = ""
	}
	switch {
	case u.fail:
		w.WriteHeader(http.StatusBadGateway)
		return
	case r.URL.Path == "/oauth/token/info":
		scope := `["read","write"]`
		if r.Header.Get("Authorization") == "Bearer narrow" {
			scope = `["read:statuses"]`
		}
		fmt.Fprintf(w, `{"scope":%s}`, scope)
		return
	case r.URL.Path == "/api/v1/accounts/lookup":
		name = r.URL.Query().Get("acct")
	case name == "":
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	id, ok := map[string]string{"alice": "1", "bob": "2"}[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	fmt.Fprintf(w, `{"id":%q,"username":%q,"acct":%q,"uri":"https://social.example/users/%s"}`, id, name, name, name)
}

func (u *upstream) away() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fail = true
}

// posts are the POSTs that reached the instance.
func (u *upstream) posts() []received {
	u.mu.Lock()
	defer u.mu.Unlock()
	var list []received
	for _, r := range u.received {
		if r.method == http.MethodPost {
			list = append(list, r)
		}
	}
	return list
}

// gate admits whoever the header X-Signer names, and otherwise fails as told.
type gate struct{ err error }

func (g gate) Admit(_ context.Context, a policy.Arrival) (policy.Signer, error) {
	if !a.Client.IsValid() {
		return policy.Signer{}, errors.New("bug: the client has no address")
	}
	if signer := a.Request.Get("X-Signer"); signer != "" && g.err == nil {
		return policy.Signer{Actor: signer}, nil
	}
	if g.err == nil {
		return policy.Signer{}, signature.ErrUnsigned
	}
	return policy.Signer{}, g.err
}

// Knows says yes but to who admits to be new.
func (gate) Knows(a policy.Arrival) bool { return a.Request.Get("X-New") == "" }

// broken is a Store whose every method fails.
type broken struct{ calls int }

var errOnFire = fmt.Errorf("%w: the disk is on fire", inbox.ErrUnavailable)

func (b *broken) Append(context.Context, []inbox.Message) ([]inbox.Result, error) {
	b.calls++
	return nil, errOnFire
}

func (b *broken) After(context.Context, inbox.Owner, inbox.Position, int) ([]inbox.Entry, error) {
	b.calls++
	return nil, errOnFire
}

func (b *broken) Find(context.Context, inbox.Owner, string) (inbox.Position, error) {
	b.calls++
	return 0, errOnFire
}

func (b *broken) Usage(context.Context, inbox.Owner) (inbox.Usage, error) {
	b.calls++
	return inbox.Usage{}, errOnFire
}

// ownKey is the key of every world's /e2ee/actor: making one takes longer than a test.
var ownKey = sync.OnceValue(func() *rsa.PublicKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return &key.PublicKey
})

// revoke ends a token of the instance's.
func (u *upstream) revoke(token string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.revoked = map[string]bool{"Bearer " + token: true}
}

func newWorld(t *testing.T, store inbox.Store, g relay.Gate) *world {
	t.Helper()
	return newWorldWith(t, store, g, func(*relay.Options) {})
}

// newWorldWith lets a test change the relay's options.
func newWorldWith(t *testing.T, store inbox.Store, g relay.Gate, change func(*relay.Options)) *world {
	t.Helper()
	up := &upstream{}
	up.Server = httptest.NewServer(up)
	t.Cleanup(up.Close)
	people, err := mastodon.New(mastodon.Options{Domain: domain, Web: up.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(people.Close)
	web, err := forward.NewUpstream(forward.UpstreamOptions{URL: up.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = web.Close() })
	w := &world{upstream: up, store: store, registry: prometheus.NewRegistry()}
	o := relay.Options{
		Domain: domain, Web: web, Gate: g, Inbox: inbox.New(inbox.Options{Store: store}), People: people,
		Key: ownKey(), Limits: activity.Limits{Depth: 32, Keys: 1000}, Metrics: w.registry,
	}
	change(&o)
	w.inbox = o.Inbox
	r, err := relay.New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.Client, w.shutdown = serve(t, r)
	return w
}

// serve listens on loopback and gives a client to whom every host is there.
func serve(t *testing.T, r *relay.Relay) (client *http.Client, shutdown func()) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := forward.NewServer(forward.ServerOptions{Handler: r.Handle})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, listener) }()
	transport := &http.Transport{
		DisableCompression: true, ExpectContinueTimeout: 5 * time.Second,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String())
		},
	}
	shutdown = sync.OnceFunc(func() {
		end, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(end)
	})
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		shutdown()
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}, shutdown
}

func memory() *inboxtest.Memory { return &inboxtest.Memory{} }

// dial opens a bare connection to the gateway.
func (w *world) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	c, err := w.Transport.(*http.Transport).DialContext(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// answer is a reply read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends one request; header is name, value, name, value.
func (w *world) ask(t *testing.T, method, target string, body io.Reader, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+domain+target, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header[header[i]] = append(req.Header[header[i]], header[i+1]) // spelled as given
	}
	res, err := w.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	a := answer{res.StatusCode, res.Header, string(b)}
	if twice := a.saidTwice(); twice != "" {
		t.Errorf("%s %s: the answer says %q twice: %s", method, target, twice, b)
	}
	return a
}

// saidTwice finds words of a problem's detail that stand in another part of it too, or "".
func (a answer) saidTwice() string {
	var p struct{ Detail string }
	if a.header.Get("Content-Type") != "application/problem+json" || json.Unmarshal([]byte(a.body), &p) != nil {
		return ""
	}
	parts := regexp.MustCompile(`: |; |\n|[.] |[.]?[()]+`).Split(strings.ToLower(p.Detail), -1)
	for i, part := range parts {
		for j, other := range parts {
			if i != j && strings.Contains(part, " ") && strings.Contains(other, part) {
				return part
			}
		}
	}
	return ""
}

// deliver posts an activity signed by zoe.
func (w *world) deliver(t *testing.T, target, body string) answer {
	t.Helper()
	return w.ask(t, http.MethodPost, target, strings.NewReader(body), "X-Signer", zoe, "Content-Type", "application/activity+json")
}

// private is a message of a group, in base64.
func private(epoch uint64) string {
	return base64.StdEncoding.EncodeToString(inboxtest.Private(inboxtest.Application, "g", epoch, "cccccccccccccccc"))
}

// create is zoe's Create of an MLS message to these ids.
func create(id string, to ...string) string {
	return fmt.Sprintf(`{"@context":"https://www.w3.org/ns/activitystreams","id":"https://far.example/a/%s","type":"Create",`+
		`"actor":%q,"to":["%s"],"object":{"type":"PrivateMessage","attributedTo":%q,"mediaType":"message/mls","encoding":"base64","content":%q}}`,
		id, zoe, strings.Join(to, `","`), zoe, private(1))
}

const (
	alice = "https://social.example/users/alice"
	bob   = "https://social.example/users/bob"
)

func (w *world) held(t *testing.T, owner inbox.Owner) []inbox.Entry {
	t.Helper()
	entries, err := w.store.After(t.Context(), owner, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// awaitCount fails unless a counter reaches want in a while.
func (w *world) awaitCount(t *testing.T, name string, want float64) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(5 * time.Second)
	for w.count(t, name) != want {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s is %v, want %v", name, w.count(t, name), want)
		}
	}
}

// count is the sum of a counter over all its labels.
func (w *world) count(t *testing.T, name string) float64 {
	t.Helper()
	return count(t, w.registry, name, "")
}

// count is the sum of a counter over the label values given; "": all.
func count(t *testing.T, registry *prometheus.Registry, name, label string) (sum float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			isMeant := label == ""
			for _, l := range m.GetLabel() {
				isMeant = isMeant || l.GetValue() == label
			}
			if f.GetName() == name && isMeant {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
