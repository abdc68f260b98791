package simulation_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/policy/signature"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/forward"
	"github.com/sealgate/sealgate/relay/intake"
	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/relay/outbox/outboxtest"
)

// Small enough that schedules meet them.
const (
	quota        = 6 << 10
	retention    = 72 * time.Hour
	maxPerDevice = 4
)

// host is an instance with a gateway before it. What the disk holds survives a
// kill; everything else is the incarnation's.
type host struct {
	domain   string
	instance *instance
	disk     disk
	logKey   ed25519.PrivateKey
	ahead    atomic.Int64 // how far its clock is before the others', a time.Duration
	policy   string       // the text of its policy
	holding  time.Time    // since when that lets strangers wait; zero: it does not

	relay *relay.Relay // nil while it is down
	inbox *inbox.Inbox
	keys  *inbox.Directory
	book  *policy.Book
	kill  func()
}

// now is what the host's clock says.
func (h *host) now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

// The policies that take turns.
const (
	open   = "version: 1\nrules: [{name: open, at: contact, then: allow}]"
	strict = `version: 1
rules: [{name: strangers-wait, at: contact, when: 'msg.kind == "welcome" && rel == "stranger"', then: hold}]`
)

// disk is where a simulated bug can hide: what the gateway sees of its stores.
type disk struct {
	mail  inbox.Store
	keys  inbox.KeyStore
	queue outbox.Store
}

func newHost(domain string, people []*person, bug bug) *host {
	h := &host{
		domain: domain, instance: &instance{domain: domain, people: people}, policy: open,
		logKey: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
	}
	mail := &inboxtest.Memory{Clock: h.now, Retention: retention, Quota: quota}
	h.disk = disk{mail: mail, keys: &inboxtest.KeyMemory{Clock: h.now}, queue: &outboxtest.Memory{Mail: mail}}
	if bug != nil {
		bug(&h.disk)
	}
	return h
}

// start makes an incarnation over what the disk holds.
func (h *host) start(t *testing.T, n *network, web *forward.Upstream) {
	way := path{net: n, from: h.domain, killed: make(chan struct{})}
	client := &http.Client{Transport: way, Timeout: clientTimeout}
	people, err := mastodon.New(mastodon.Options{Domain: h.domain, Web: "http://instance", Transport: h.instance, Clock: h.now})
	if err != nil {
		t.Fatal(err)
	}
	base := "https://" + h.domain
	peers := actorkey.New(actorkey.Options{Client: client, Clock: h.now})
	if h.book, err = h.openBook(); err != nil {
		t.Fatal(err)
	}
	h.inbox = inbox.New(inbox.Options{Store: h.disk.mail, Clock: h.now})
	gate := policy.New(policy.Options{
		Domain: h.domain, Keys: peers, FailedSignatures: ratelimit.Rate{Max: 1 << 20, Every: time.Second},
		Book: h.book, Approvals: approvals{h.inbox}, Clock: h.now,
	})
	h.keys = inbox.NewDirectory(inbox.DirectoryOptions{Store: h.disk.keys, Key: h.logKey, MaxPerDevice: maxPerDevice, Tell: h.inbox.Tell, Clock: h.now})
	door := intake.New(intake.Options{Gate: gate, Inbox: h.inbox, Keys: h.keys, Clock: h.now})
	limits := activity.Limits{Depth: 32, Keys: 1000}
	out := outbox.New(outbox.Options{
		Base: base, Store: h.disk.queue, Inbox: h.inbox, People: people, Keys: h.instance, Client: client,
		Limits: limits, Spread: spread, Intake: door, Clock: h.now,
	})
	h.relay, err = relay.New(relay.Options{
		Domain: h.domain, Web: web, Gate: gate, Inbox: h.inbox, People: people, Outbox: out, Keys: h.keys, Key: ownKey(), Limits: limits, Quota: quota,
		Intake: door, Clock: h.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- out.Run(ctx) }()
	let := make(chan error, 1)
	in := h.inbox
	go func() { let <- in.Run(ctx) }()
	h.kill = func() {
		h.relay, h.inbox, h.keys = nil, nil, nil
		close(way.killed)
		cancel()
		if err := errors.Join(<-done, <-let); err != nil {
			t.Errorf("%s: Run: %v", h.domain, err)
		}
		peers.Close()
	}
}

func (h *host) openBook() (*policy.Book, error) {
	return policy.OpenBook(context.Background(), policy.BookOptions{
		Origin: policy.Origin{Name: "policy.yaml", Read: func() ([]byte, error) { return []byte(h.policy), nil }}, Clock: h.now,
	})
}

// approvals are the message requests that people have accepted.
type approvals struct{ inbox *inbox.Inbox }

// Approved implements policy.Approvals.
func (a approvals) Approved(ctx context.Context, account, actor string) bool {
	s, err := a.inbox.Standing(ctx, inbox.Owner(account), nil, actor)
	return err == nil && s.Approved
}

// spread is the same for the same delivery in every run of a seed.
func spread(what string, failures int) float64 {
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, what, failures)
	return float64(h.Sum32()) / (1 << 32)
}

// ownKey is that of every /e2ee/actor. Nothing here is signed with it.
func ownKey() *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), 2047)
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

// instance is as much of Mastodon as a gateway asks for, and the source of people's keys.
type instance struct {
	domain string
	people []*person
}

// Key implements outbox.Keys.
func (i *instance) Key(_ context.Context, s outbox.Sender) (crypto.Signer, error) {
	for _, p := range i.people {
		if p.name == s.Name {
			return p.key, nil
		}
	}
	return nil, outbox.ErrNoKey
}

// RoundTrip implements http.RoundTripper.
func (i *instance) RoundTrip(r *http.Request) (*http.Response, error) {
	status, v := i.answer(r)
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	a := &answer{status: status, header: http.Header{"Content-Type": {"application/activity+json"}}, body: body}
	return a.response(r)
}

func (i *instance) answer(r *http.Request) (int, any) {
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	for _, p := range i.people {
		switch account := map[string]any{"id": p.account, "username": p.name, "acct": p.name, "uri": p.actor()}; {
		case r.URL.Path == "/api/v1/accounts/lookup" && strings.EqualFold(r.URL.Query().Get("acct"), p.name),
			r.URL.Path == "/api/v1/accounts/verify_credentials" && token == p.token():
			return http.StatusOK, account
		case r.URL.Path == "/oauth/token/info" && token == p.token():
			return http.StatusOK, map[string]any{"scope": []string{"read", "write"}}
		case r.URL.Path == "/users/"+p.name:
			return http.StatusOK, p.document()
		}
	}
	if token != "" {
		return http.StatusUnauthorized, map[string]any{}
	}
	return http.StatusNotFound, map[string]any{}
}

// document is the actor document as the gateway leaves it.
func (p *person) document() map[string]any {
	der, err := x509.MarshalPKIXPublicKey(p.key.Public())
	if err != nil {
		panic(err)
	}
	return map[string]any{
		"id": p.actor(), "type": "Person", "preferredUsername": p.name, "inbox": p.actor() + "/inbox", "outbox": p.actor() + "/outbox",
		"endpoints": map[string]any{"sharedInbox": "https://" + p.host + "/inbox"},
		"publicKey": map[string]any{
			"id": p.actor() + "#main-key", "owner": p.actor(),
			"publicKeyPem": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		},
	}
}

// sign makes r the person's.
func (p *person) sign(r *http.Request, body []byte) {
	err := signature.SignHTTP(r, body, signature.Signer{KeyID: p.actor() + "#main-key", Key: p.key, Scheme: signature.Cavage}, time.Now())
	if err != nil {
		panic(err)
	}
}
