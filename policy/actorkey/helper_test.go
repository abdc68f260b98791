package actorkey_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/actorkey"
)

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

var edPublic, _ = ed25519.NewKeyFromSeed([]byte(strings.Repeat("e", 32))).Public().(ed25519.PublicKey)

func pemOf(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// multikey writes base58btc by division, apart from the code under test.
func multikey(prefix, key []byte) string {
	const digits = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	n := new(big.Int).SetBytes(append(append([]byte(nil), prefix...), key...))
	var out []byte
	for n.Sign() > 0 {
		d := new(big.Int)
		n.DivMod(n, big.NewInt(58), d)
		out = append([]byte{digits[d.Int64()]}, out...)
	}
	return "z" + string(out)
}

type m = map[string]any

// A peer is a server of documents, as the test wrote them.
type peer struct {
	*httptest.Server
	mu   sync.Mutex
	docs map[string]http.HandlerFunc
	hits atomic.Int64
}

func newPeer(t testing.TB) *peer {
	t.Helper()
	p := &peer{docs: map[string]http.HandlerFunc{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.hits.Add(1)
		p.mu.Lock()
		h := p.docs[r.URL.RequestURI()]
		p.mu.Unlock()
		if h == nil {
			http.NotFound(w, r)
			return
		}
		h(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *peer) handle(path string, h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.docs[path] = h
}

func (p *peer) serve(path string, doc any) {
	p.handle(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/activity+json; charset=utf-8")
		_ = json.NewEncoder(w).Encode(doc)
	})
}

// actor is a document as Mastodon writes it, with key as #main-key.
func (p *peer) actor(t testing.TB, path string, key crypto.PublicKey) m {
	id := p.URL + path
	return m{
		"id": id, "type": "Person", "inbox": id + "/inbox",
		"publicKey": m{"id": id + "#main-key", "owner": id, "publicKeyPem": pemOf(t, key)},
	}
}

// client may go to loopback, and nowhere else that is private.
func client() *http.Client {
	return actorkey.NewClient(actorkey.ClientOptions{
		AllowPlainHTTP: true, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
}

func newKeys(t testing.TB, o actorkey.Options) *actorkey.Keys {
	t.Helper()
	if o.Client == nil {
		o.Client = client()
	}
	k := actorkey.New(o)
	t.Cleanup(func() { k.Close(); o.Client.CloseIdleConnections() })
	return k
}

func mustKey(t *testing.T, k *actorkey.Keys, id, actor string, public crypto.PublicKey) {
	t.Helper()
	key, err := k.Key(t.Context(), id)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	if key.ID != id || key.Actor != actor {
		t.Fatalf("key %q of %q, want %q of %q", key.ID, key.Actor, id, actor)
	}
	if p, ok := key.Public.(interface{ Equal(crypto.PublicKey) bool }); !ok || !p.Equal(public) {
		t.Fatalf("another key: %v", key.Public)
	}
}

func mustFail(t *testing.T, k *actorkey.Keys, id string, want error) {
	t.Helper()
	key, err := k.Key(t.Context(), id)
	if !errors.Is(err, want) {
		t.Errorf("%s: %+v, %v; want %v", id, key.Actor, err, want)
	}
}

// clock stands still until told.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_700_000_000, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// answer is a transport made of a function.
type answer func(*http.Request) (*http.Response, error)

func (f answer) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func reply(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Request: r, Header: http.Header{"Content-Type": {"application/activity+json"}},
		Body: io.NopCloser(strings.NewReader(body)),
	}
}
