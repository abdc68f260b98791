package relay_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/relay"
)

// countedKeys counts what is asked of a KeyStore: pools, which are one scan each, and all else.
type countedKeys struct {
	inbox.KeyStore

	pools, others atomic.Int64
}

func (c *countedKeys) Pool(ctx context.Context, o inbox.Owner) (inbox.Pool, error) {
	c.pools.Add(1)
	return c.KeyStore.Pool(ctx, o)
}

func (c *countedKeys) Content(ctx context.Context, o inbox.Owner, id string) ([]byte, error) {
	c.others.Add(1)
	return c.KeyStore.Content(ctx, o, id)
}

func (c *countedKeys) ChangePool(ctx context.Context, o inbox.Owner, f func(*inbox.Change) error) error {
	c.others.Add(1)
	return c.KeyStore.ChangePool(ctx, o, f)
}

func (c *countedKeys) Trace(ctx context.Context, name string) (inbox.Trace, error) {
	c.others.Add(1)
	return c.KeyStore.Trace(ctx, name)
}

func (c *countedKeys) History(ctx context.Context, o inbox.Owner, after uint64, limit int) ([]inbox.LogEntry, error) {
	c.others.Add(1)
	return c.KeyStore.History(ctx, o, after, limit)
}

// TestAnonymousReadIsOneScan: who reads a collection without saying who they are costs one scan of the pool, and no
// question to the mailboxes.
func TestAnonymousReadIsOneScan(t *testing.T) {
	clock := inboxtest.NewClock()
	store, mailboxes := &countedKeys{KeyStore: &inboxtest.KeyMemory{Clock: clock.Now}}, &broken{}
	directory := inboxtest.NewDirectory(store, clock.Now)
	inboxtest.Fill(t, directory, "1", inboxtest.NewClient(alice, clock.Now()), 100)
	w := newWorldWith(t, mailboxes, gate{}, func(o *relay.Options) { o.Keys, o.Clock = directory, clock.Now })
	store.pools.Store(0)
	store.others.Store(0)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodGet} {
		got := w.ask(t, method, aliceKeys, nil)
		if got.status != http.StatusOK || method == http.MethodGet && !strings.Contains(got.body, `"totalItems":100`) {
			t.Fatalf("%s: %d %s", method, got.status, got.body)
		}
	}
	if pools, others := store.pools.Load(), store.others.Load(); pools != 3 || others != 0 || mailboxes.calls != 0 {
		t.Errorf("three reads were %d scans, %d other questions and %d to the mailboxes", pools, others, mailboxes.calls)
	}
}

// TestASentWelcomeConsumes: what a local person's Welcome names is used up when its owner has got it, and only then.
func TestASentWelcomeConsumes(t *testing.T) {
	at := time.Now()
	p := newReplay(t, at)
	const host = "http://" + recorded
	device := inboxtest.NewClient(host+"/users/bob", at)
	var refs [][]byte
	var urls []string
	for range 3 {
		bytes := device.Package()
		got := p.send("bob", "POST", "/users/bob/outbox", `{"type":"Create","object":{"type":"KeyPackage","to":"as:Public","mediaType":"message/mls",`+
			`"content":"`+base64.StdEncoding.EncodeToString(bytes)+`"}}`)
		if got.status != http.StatusCreated {
			t.Fatalf("%+v", got)
		}
		refs, urls = append(refs, refOf(t, bytes)), append(urls, got.header.Get("Location"))
	}
	invite := func(to string, ref []byte) {
		t.Helper()
		got := p.send("alice", "POST", "/users/alice/outbox", `{"type":"Create","to":"`+host+`/users/`+to+`","object":{"type":"Welcome",`+
			`"mediaType":"message/mls","content":"`+base64.StdEncoding.EncodeToString(inboxtest.Welcome(ref))+`"}}`)
		if got.status != http.StatusCreated {
			t.Fatalf("%+v", got)
		}
	}
	invite("alice", refs[0]) // bob never gets it
	invite("bob", refs[1])
	left := p.send("", "GET", "/e2ee/users/bob/keyPackages", "").body
	if !strings.Contains(left, urls[0]) || strings.Contains(left, urls[1]) || !strings.Contains(left, urls[2]) {
		t.Errorf("of %q the collection has %s", urls, left)
	}
}
