package policy_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/policy/signature"
)

const domain = "social.example"

func newKey(seed string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(seed, 32)))
}

var (
	aliceKey   = newKey("a")
	rotatedKey = newKey("r")
	malloryKey = newKey("m")
	here       = netip.MustParseAddr("198.51.100.7")
)

// A peer serves one actor, whose key can change, with any status.
type peer struct {
	*httptest.Server
	key    atomic.Pointer[ed25519.PrivateKey]
	status atomic.Int64
	hits   atomic.Int64
}

func document(id string, key crypto.Signer) string {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		panic(err)
	}
	b, err := json.Marshal(map[string]any{"id": id, "inbox": id + "/inbox", "publicKey": map[string]any{
		"id": id + "#main-key", "owner": id,
		"publicKeyPem": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	}})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func newPeer(t testing.TB) *peer {
	t.Helper()
	p := &peer{}
	p.key.Store(&aliceKey)
	p.status.Store(200)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.hits.Add(1)
		w.Header().Set("Content-Type", "application/activity+json")
		w.WriteHeader(int(p.status.Load()))
		_, _ = io.WriteString(w, document(p.URL+r.URL.Path, *p.key.Load()))
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *peer) actor() string { return p.URL + "/users/alice" }

type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_800_000_000, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

type house struct {
	*policy.Gate
	clock *clock
	reg   *prometheus.Registry
}

// newHouse is a gate as serve wires it, for peers on loopback.
func newHouse(t testing.TB, client *http.Client, more ...func(*policy.Options)) house {
	t.Helper()
	if client == nil {
		client = actorkey.NewClient(actorkey.ClientOptions{
			AllowPlainHTTP: true, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		})
	}
	h := house{clock: &clock{}, reg: prometheus.NewRegistry()}
	keys := actorkey.New(actorkey.Options{Client: client, Clock: h.clock.now, Metrics: h.reg})
	t.Cleanup(func() { keys.Close(); client.CloseIdleConnections() })
	o := policy.Options{
		Domain: domain, Keys: keys, Clock: h.clock.now, Metrics: h.reg,
		FailedSignatures: ratelimit.Rate{Max: 10, Every: time.Minute},
	}
	for _, set := range more {
		set(&o)
	}
	h.Gate = policy.New(o)
	return h
}

// arrival is a POST signed by key in the name of keyID.
func (h house) arrival(t testing.TB, keyID string, key crypto.Signer, scheme string) policy.Arrival {
	t.Helper()
	r := signature.Request{Method: "POST", Target: "/users/bob/inbox", Host: domain, Scheme: "https", Body: []byte(`{"type":"Create"}`)}
	fields, err := signature.Sign(&r, signature.Signer{KeyID: keyID, Key: key, Scheme: scheme}, h.clock.now())
	if err != nil {
		t.Fatal(err)
	}
	r.Header = fields
	return policy.Arrival{Request: r, Client: here}
}

func (h house) count(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	families, err := h.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var got []string
			for _, l := range m.GetLabel() {
				got = append(got, l.GetValue())
			}
			if f.GetName() == name && fmt.Sprint(got) == fmt.Sprint(labels) {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestAdmit(t *testing.T) {
	p := newPeer(t)
	h := newHouse(t, nil)
	id := p.actor() + "#main-key"
	for _, scheme := range []string{signature.Cavage, signature.RFC9421} {
		got, err := h.Admit(t.Context(), h.arrival(t, id, aliceKey, scheme))
		if err != nil {
			t.Fatal(err)
		}
		if want := (policy.Signer{Actor: p.actor()}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
		if n := h.count(t, "sealgate_signature_checks_total", "ok", scheme); n != 1 {
			t.Errorf("%v counted as ok", n)
		}
	}
	if n := p.hits.Load(); n != 1 {
		t.Errorf("%d fetches for one key", n)
	}
}

func TestAnotherKeyIsRefreshedOnceAndRefused(t *testing.T) {
	p := newPeer(t)
	h := newHouse(t, nil)
	id := p.actor() + "#main-key"
	if _, err := h.Admit(t.Context(), h.arrival(t, id, aliceKey, "")); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		_, err := h.Admit(t.Context(), h.arrival(t, id, malloryKey, ""))
		if !errors.Is(err, policy.ErrSignature) || !errors.Is(err, signature.ErrMismatch) {
			t.Fatal(err)
		}
	}
	if n := p.hits.Load(); n != 2 {
		t.Errorf("%d fetches, want the first and one refresh", n)
	}
}

func TestARotatedKeyIsLearned(t *testing.T) {
	p := newPeer(t)
	h := newHouse(t, nil)
	id := p.actor() + "#main-key"
	if _, err := h.Admit(t.Context(), h.arrival(t, id, aliceKey, "")); err != nil {
		t.Fatal(err)
	}
	p.key.Store(&rotatedKey)
	if _, err := h.Admit(t.Context(), h.arrival(t, id, rotatedKey, "")); err != nil {
		t.Fatalf("the new key: %v", err)
	}
	if _, err := h.Admit(t.Context(), h.arrival(t, id, aliceKey, "")); !errors.Is(err, policy.ErrSignature) {
		t.Fatalf("the old key: %v", err)
	}
}

func TestAKeyServerThatIsDownIsNotTheClientsFault(t *testing.T) {
	p := newPeer(t)
	h := newHouse(t, nil)
	id := p.actor() + "#main-key"
	p.status.Store(500)
	for range 50 {
		_, err := h.Admit(t.Context(), h.arrival(t, id, aliceKey, ""))
		if !errors.Is(err, policy.ErrKeyUnavailable) || errors.Is(err, policy.ErrSignature) {
			t.Fatal(err)
		}
	}
	if n := p.hits.Load(); n != 1 {
		t.Errorf("%d fetches from a server that is down", n)
	}
	p.status.Store(200)
	h.clock.advance(11 * time.Second)
	if _, err := h.Admit(t.Context(), h.arrival(t, id, aliceKey, "")); err != nil {
		t.Fatalf("once it is back: %v", err)
	}
}

// A key may have been rotated while its server is down: nobody can tell, so it
// is 503. It is on the client's account all the same.
func TestAMismatchWhileTheKeyServerIsDown(t *testing.T) {
	p := newPeer(t)
	h := newHouse(t, nil)
	id := p.actor() + "#main-key"
	if _, err := h.Admit(t.Context(), h.arrival(t, id, aliceKey, "")); err != nil {
		t.Fatal(err)
	}
	p.status.Store(500)
	for range 10 {
		if _, err := h.Admit(t.Context(), h.arrival(t, id, malloryKey, "")); !errors.Is(err, policy.ErrKeyUnavailable) {
			t.Fatal(err)
		}
	}
	if _, err := h.Admit(t.Context(), h.arrival(t, id, malloryKey, "")); !errors.Is(err, policy.ErrTooMany) {
		t.Fatalf("the eleventh: %v", err)
	}
	other := h.arrival(t, id, aliceKey, "")
	other.Client = netip.MustParseAddr("198.51.100.8")
	if _, err := h.Admit(t.Context(), other); err != nil {
		t.Fatalf("the key still holds for its owner: %v", err)
	}
}

func TestNoKeyIsNoSignature(t *testing.T) {
	p := newPeer(t)
	h := newHouse(t, nil)
	p.status.Store(410)
	_, err := h.Admit(t.Context(), h.arrival(t, p.actor()+"#main-key", aliceKey, ""))
	if !errors.Is(err, policy.ErrSignature) || !errors.Is(err, actorkey.ErrNoKey) {
		t.Fatal(err)
	}
	for _, id := range []string{"http://127.0.0.1:1x/a", "http://169.254.169.254/latest", "http://[::1]/a#k", "acct:a@b"} {
		if _, err := h.Admit(t.Context(), h.arrival(t, id, aliceKey, "")); !errors.Is(err, policy.ErrSignature) {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestFailedSignaturesAreBudgetedPerAddress(t *testing.T) {
	p := newPeer(t)
	h := newHouse(t, nil)
	id := p.actor() + "#main-key"
	unsigned := policy.Arrival{Request: signature.Request{Method: "POST", Target: "/inbox", Host: domain}, Client: netip.MustParseAddr("2001:db8::1")}
	for range 10 {
		if _, err := h.Admit(t.Context(), unsigned); !errors.Is(err, signature.ErrUnsigned) {
			t.Fatal(err)
		}
	}
	unsigned.Client = netip.MustParseAddr("2001:db8::ffff:1") // the same /64
	_, err := h.Admit(t.Context(), unsigned)
	limit, ok := errors.AsType[*policy.LimitError](err)
	if !ok || !errors.Is(err, policy.ErrTooMany) || limit.RetryAfter != 6*time.Second || limit.Key != "limits.failed_signatures" {
		t.Fatalf("%+v", err)
	}
	if !strings.Contains(err.Error(), "limits.failed_signatures") {
		t.Errorf("%v does not name the key that cures it", err)
	}
	good := h.arrival(t, id, aliceKey, "")
	good.Client = unsigned.Client
	if _, err := h.Admit(t.Context(), good); !errors.Is(err, policy.ErrTooMany) {
		t.Errorf("verified although the address is over its budget: %v", err)
	}
	if p.hits.Load() != 0 {
		t.Error("a key was fetched for an address over its budget")
	}
	good.Client = netip.MustParseAddr("2001:db8:0:1::1") // the next /64
	if _, err := h.Admit(t.Context(), good); err != nil {
		t.Errorf("the victim whose name was used pays for it: %v", err)
	}
	h.clock.advance(6 * time.Second)
	good = h.arrival(t, id, aliceKey, "")
	good.Client = unsigned.Client
	for range 100 {
		if _, err := h.Admit(t.Context(), good); err != nil {
			t.Fatalf("good signatures are charged: %v", err)
		}
	}
	if n := h.count(t, "sealgate_limit_exceeded_total", "failed_signatures"); n != 2 {
		t.Errorf("%v refusals counted, want 2", n)
	}
	if n := h.count(t, "sealgate_signature_checks_total", "unsigned", "none"); n != 10 {
		t.Errorf("%v unsigned counted, want 10", n)
	}
}

func TestOneClientCannotHoldAllLookups(t *testing.T) {
	gate := make(chan struct{})
	started := make(chan struct{}, 200)
	client := &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host != "good.example" {
			started <- struct{}{}
			select {
			case <-gate:
			case <-r.Context().Done():
			}
			return nil, errors.New("down")
		}
		return &http.Response{
			StatusCode: 200, Request: r, Header: http.Header{"Content-Type": {"application/activity+json"}},
			Body: io.NopCloser(strings.NewReader(document(r.URL.String(), aliceKey))),
		}, nil
	})}
	h := newHouse(t, client)
	arrivals := make([]policy.Arrival, 100)
	for i := range arrivals {
		arrivals[i] = h.arrival(t, fmt.Sprintf("https://slow%d.example/a#main-key", i), malloryKey, "")
	}
	var wg sync.WaitGroup
	var busy atomic.Int64
	turned := make(chan struct{}, len(arrivals))
	for _, a := range arrivals {
		wg.Go(func() {
			_, err := h.Admit(t.Context(), a)
			if errors.Is(err, policy.ErrBusy) {
				busy.Add(1)
				turned <- struct{}{}
			} else if !errors.Is(err, policy.ErrKeyUnavailable) {
				t.Errorf("%v", err)
			}
		})
	}
	for range 32 {
		<-started
	}
	<-turned
	good := h.arrival(t, "https://good.example/a#main-key", aliceKey, "")
	good.Client = netip.MustParseAddr("198.51.100.8")
	if _, err := h.Admit(t.Context(), good); err != nil {
		t.Errorf("another client starved: %v", err)
	}
	close(gate)
	wg.Wait()
	if n := busy.Load(); n == 0 || n > 68 {
		t.Errorf("%d turned away", n)
	}
}

// TestWaitingForKeysIsAskedFor: whoever offers a request is asked before a key is fetched, the first time and when the signature
// does not hold, and may refuse; for a key at hand nobody is asked.
func TestWaitingForKeysIsAskedFor(t *testing.T) {
	p := newPeer(t)
	h := newHouse(t, nil)
	var room error
	asked, waiting := 0, 0
	admit := func(key crypto.Signer) error {
		a := h.arrival(t, p.actor()+"#main-key", key, "")
		a.Wait = func(host string) (func(), error) {
			asked++
			if host != "127.0.0.1" {
				t.Errorf("for host %q", host)
			}
			if room != nil {
				return nil, room
			}
			waiting++
			return func() { waiting-- }, nil
		}
		_, err := h.Admit(t.Context(), a)
		return err
	}
	full := &policy.LimitError{RetryAfter: time.Second, Reason: policy.ErrBusy}
	room = full
	if err := admit(aliceKey); !errors.Is(err, policy.ErrBusy) || p.hits.Load() != 0 || asked != 1 {
		t.Errorf("no room: %v, %d fetches, asked %d times", err, p.hits.Load(), asked)
	}
	room = nil
	if err := admit(aliceKey); err != nil || asked != 2 {
		t.Errorf("room: %v, asked %d times", err, asked)
	}
	room = full
	if err := admit(aliceKey); err != nil || asked != 2 {
		t.Errorf("at hand: %v, asked %d times", err, asked)
	}
	fetched := p.hits.Load()
	if err := admit(malloryKey); !errors.Is(err, policy.ErrBusy) || p.hits.Load() != fetched || asked != 3 {
		t.Errorf("no room for a refresh: %v, %d fetches, asked %d times", err, p.hits.Load()-fetched, asked)
	}
	room = nil
	if err := admit(malloryKey); !errors.Is(err, policy.ErrSignature) || p.hits.Load() == fetched || asked != 4 {
		t.Errorf("room for a refresh: %v, %d fetches, asked %d times", err, p.hits.Load()-fetched, asked)
	}
	if waiting != 0 {
		t.Errorf("%d wait for ever", waiting)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTheEndOfPatience(t *testing.T) {
	h := newHouse(t, &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := h.Admit(ctx, h.arrival(t, "https://slow.example/a#k", aliceKey, ""))
	if !errors.Is(err, policy.ErrKeyUnavailable) {
		t.Fatal(err)
	}
}

func BenchmarkAdmit(b *testing.B) {
	p := newPeer(b)
	h := newHouse(b, nil)
	a := h.arrival(b, p.actor()+"#main-key", aliceKey, "")
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := h.Admit(context.Background(), a); err != nil {
				b.Fatal(err)
			}
		}
	})
}
