package outbox_test

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/storage"
)

// world is an instance with alice and bob, and an outbox beside it.
type world struct {
	*outbox.Outbox

	settings
	origin     string
	store      *storage.Store
	alice, bob *instance.Person
	from       mastodon.Person // alice
	inbox      *inbox.Inbox
	registry   *prometheus.Registry
	ahead      atomic.Int64 // of the real clock, in nanoseconds
	expired    atomic.Int64 // so many reads of what was sent find nothing
	untold     atomic.Int64 // the report that cannot be kept, counted from one
	reads      func()       // is called when something sent is read; may be nil
}

// moody is a world's store, which does not always do what it could.
type moody struct {
	*storage.Store

	w *world
}

func (m moody) Sent(ctx context.Context, name string) (outbox.Sent, error) {
	if m.w.reads != nil {
		m.w.reads()
	}
	if m.w.expired.Add(-1) >= 0 {
		return outbox.Sent{}, outbox.ErrNotSent
	}
	return m.Store.Sent(ctx, name)
}

func (m moody) Keep(ctx context.Context, name string, value []byte) error {
	if strings.HasPrefix(name, "reports/") && m.w.untold.Add(-1) == 0 {
		return errors.New("as a test")
	}
	return m.Store.Keep(ctx, name, value)
}

// now is the outbox's clock.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

type settings struct {
	none   bool // no signing source
	hand   outbox.Courier
	fetch  instance.Fetch
	sign   func(*http.Request) error
	each   bool
	jitter time.Duration
	log    *slog.Logger
}

func newWorld(t testing.TB, o settings) *world {
	t.Helper()
	w := newInstance(t, o.fetch)
	keys := outbox.Keys(nil)
	if !o.none && o.hand == nil {
		keys = files(t, keyFiles(t, w.alice, w.bob))
	}
	w.settings = o
	w.open(t, t.TempDir(), keys)
	return w
}

// newInstance is a world without an outbox yet.
func newInstance(t testing.TB, fetch instance.Fetch) *world {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	origin := "http://" + server.Listener.Addr().String()
	sample := instance.New(instance.Options{Origin: origin, IDs: instance.Named, Fetch: fetch})
	server.Config.Handler = sample
	server.Start()
	t.Cleanup(server.Close)
	w := &world{origin: origin, alice: person(t, sample, "alice"), bob: person(t, sample, "bob")}
	w.from = mastodon.Person{Account: w.alice.Account, Name: "alice", Actor: w.alice.Actor}
	return w
}

// open makes the outbox over the store at path.
func (w *world) open(t testing.TB, path string, keys outbox.Keys) {
	t.Helper()
	w.registry = prometheus.NewRegistry()
	w.store = openStore(t, path, w.registry)
	domain := strings.TrimPrefix(w.origin, "http://")
	people, err := mastodon.New(mastodon.Options{Domain: domain, Web: w.origin, Register: w.store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(people.Close)
	w.inbox = inbox.New(inbox.Options{Store: moody{w.store, w}, Threads: outbox.Threads(w.origin), Clock: w.now})
	w.Outbox = outbox.New(outbox.Options{
		Base: w.origin, Store: moody{w.store, w}, Inbox: w.inbox, People: people, Keys: keys, Courier: w.hand,
		Client: client(t), Sign: w.sign, Limits: activity.Limits{Depth: 32, Keys: 5000}, Clock: w.now,
		Each: w.each, Jitter: w.jitter, Log: w.log, Metrics: w.registry,
	})
}

func files(t testing.TB, directory string) *outbox.Files {
	t.Helper()
	keys, err := outbox.NewFiles(directory)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func person(t testing.TB, i *instance.Instance, name string) *instance.Person {
	t.Helper()
	p, err := i.AddPerson(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func openStore(t testing.TB, path string, registry prometheus.Registerer) *storage.Store {
	t.Helper()
	s, err := storage.Open(storage.Options{
		Path: path, Key: make([]byte, storage.KeySize), Retention: 24 * time.Hour, Quota: 128 << 20, Reserve: 1, Metrics: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func keyFiles(t testing.TB, people ...*instance.Person) string {
	t.Helper()
	dir := t.TempDir()
	for _, p := range people {
		text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(p.Key)})
		if err := os.WriteFile(filepath.Join(dir, p.Name+".pem"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func client(t testing.TB) *http.Client {
	c := actorkey.NewClient(actorkey.ClientOptions{
		// A try that outlives its timeout on a starved machine arrives twice, and TestCrash counts.
		Timeout: time.Minute, AllowPlainHTTP: true, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// run delivers until the test ends, or the returned function is called.
func (w *world) run(t testing.TB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// peer is a server with as many actors as anybody asks for.
type peer struct {
	*httptest.Server

	answer func(*http.Request, arrived) int // nil: 202

	mu  sync.Mutex
	got []arrived
}

type arrived struct {
	path   string
	body   string
	header http.Header
	at     time.Time
}

func newPeer(t testing.TB, answer func(*http.Request, arrived) int) *peer {
	t.Helper()
	p := &peer{answer: answer}
	p.Server = httptest.NewUnstartedServer(p) // its URL must be there before anybody asks
	p.Start()
	t.Cleanup(p.Close)
	return p
}

func (p *peer) actor(name string) string { return p.URL + "/users/" + name }

func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		id := p.URL + r.URL.Path
		w.Header().Set("Content-Type", "application/activity+json")
		if strings.HasPrefix(r.URL.Path, "/lists/") {
			fmt.Fprintf(w, `{"id":%q,"type":"Collection","items":[]}`, id)
			return
		}
		fmt.Fprintf(w, `{"id":%q,"type":"Person","inbox":%q,"endpoints":{"sharedInbox":%q}}`, id, id+"/inbox", p.URL+"/inbox")
		return
	}
	body, _ := io.ReadAll(r.Body)
	a := arrived{path: r.URL.Path, body: string(body), header: r.Header, at: time.Now()}
	status := http.StatusAccepted
	if p.answer != nil {
		status = p.answer(r, a)
	}
	if status < 300 {
		p.mu.Lock()
		p.got = append(p.got, a)
		p.mu.Unlock()
	}
	w.WriteHeader(status)
}

func (p *peer) arrived() []arrived {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]arrived(nil), p.got...)
}

// await returns what has arrived once it is n or more.
func (p *peer) await(t testing.TB, n int) []arrived {
	t.Helper()
	until(t, func() bool { return len(p.arrived()) >= n })
	return p.arrived()
}

func until(t testing.TB, is func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline:
			t.Fatal("it did not happen within 20 s")
		case <-tick.C:
		}
	}
}

// private is a message of a group, in base64; its epoch numbers it.
func private(group string, epoch uint64) string {
	return base64.StdEncoding.EncodeToString(inboxtest.Private(inboxtest.Application, group, epoch, "cccccccccccccccc"))
}

// message is a bare object; extra are more properties, with commas behind.
func message(group string, epoch uint64, extra string, to ...string) []byte {
	return fmt.Appendf(nil, `{%s"type":"PrivateMessage","mediaType":"message/mls","encoding":"base64","content":%q,"to":["%s"]}`,
		extra, private(group, epoch), strings.Join(to, `","`))
}

func (w *world) post(t testing.TB, body []byte) outbox.Posted {
	t.Helper()
	posted, err := w.Submit(context.Background(), w.from, "laptop", body)
	if err != nil {
		t.Fatalf("submit %s: %v", body, err)
	}
	return posted
}
