package actorkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealgate/sealgate/policy/actorkey"
)

func TestAnswersAreRememberedForAWhile(t *testing.T) {
	p := newPeer(t)
	var c clock
	k := newKeys(t, actorkey.Options{Clock: c.now})
	alice, status := p.URL+"/alice", 0
	p.serve("/alice", p.actor(t, "/alice", edPublic))
	p.handle("/flaky", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	f := func(advance time.Duration, id string, want error, hits int64) {
		t.Helper()
		c.advance(advance)
		before := p.hits.Load()
		if _, err := k.Key(t.Context(), id); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
		if n := p.hits.Load() - before; n != hits {
			t.Errorf("%d fetches, want %d", n, hits)
		}
	}
	f(0, alice+"#main-key", nil, 1)
	f(0, alice+"#main-key", nil, 0)
	f(59*time.Minute, alice+"#main-key", nil, 0)
	f(time.Minute, alice+"#main-key", nil, 1)
	status = 404
	f(0, p.URL+"/flaky", actorkey.ErrNoKey, 1)
	f(59*time.Second, p.URL+"/flaky", actorkey.ErrNoKey, 0)
	status = 500
	f(time.Second, p.URL+"/flaky", actorkey.ErrUnavailable, 1)
	f(9*time.Second, p.URL+"/flaky", actorkey.ErrUnavailable, 0)
	f(time.Second, p.URL+"/flaky", actorkey.ErrUnavailable, 1)
	p.handle("/alice", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	f(59*time.Minute, alice+"#main-key", actorkey.ErrUnavailable, 1) // what was good is too old
	f(9*time.Second, alice+"#main-key", actorkey.ErrUnavailable, 0)
	f(-5*time.Hour, p.URL+"/flaky", actorkey.ErrUnavailable, 1) // the clock was set back
	f(0, p.URL+"/flaky", actorkey.ErrUnavailable, 0)
}

func TestRefreshOnceInFiveMinutes(t *testing.T) {
	p := newPeer(t)
	var c clock
	k := newKeys(t, actorkey.Options{Clock: c.now})
	alice := p.URL + "/alice"
	id := alice + "#main-key"
	p.serve("/alice", p.actor(t, "/alice", edPublic))
	mustKey(t, k, id, alice, edPublic)
	p.serve("/alice", p.actor(t, "/alice", &rsaKey().PublicKey)) // rotated
	mustKey(t, k, id, alice, edPublic)
	if _, err := k.Refresh(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	mustKey(t, k, id, alice, &rsaKey().PublicKey)
	before := p.hits.Load()
	for range 100 {
		c.advance(2 * time.Second)
		if _, err := k.Refresh(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if n := p.hits.Load() - before; n != 0 {
		t.Errorf("%d fetches within five minutes", n)
	}
	c.advance(2 * time.Minute)
	if _, err := k.Refresh(t.Context(), id); err != nil || p.hits.Load()-before != 1 {
		t.Errorf("after five minutes: %v, %d fetches", err, p.hits.Load()-before)
	}
	c.advance(-5 * time.Hour) // set back
	if _, err := k.Refresh(t.Context(), id); err != nil || p.hits.Load()-before != 2 {
		t.Errorf("before the last refresh: %v, %d fetches", err, p.hits.Load()-before)
	}
}

// TestARefreshThatCannotBeginIsNone: while a host has too many fetches waiting, a key of its that was changed is not
// to be had; afterwards it is.
func TestARefreshThatCannotBeginIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		public := pemOf(t, edPublic)
		k := actorkey.New(actorkey.Options{Client: &http.Client{Transport: answer(func(r *http.Request) (*http.Response, error) {
			id := r.URL.String()
			if r.URL.Path != "/a" {
				<-gate
			}
			b, _ := json.Marshal(m{"id": id, "inbox": "x", "publicKey": m{"id": id + "#k", "owner": id, "publicKeyPem": public}})
			return reply(r, 200, string(b)), nil
		})}})
		defer k.Close()
		const id = "https://a.example/a#k"
		if _, err := k.Key(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		public = pemOf(t, &rsaKey().PublicKey)
		for n := range 64 {
			go func() { _, _ = k.Key(t.Context(), fmt.Sprintf("https://a.example/%d#k", n)) }()
		}
		synctest.Wait()
		if key, err := k.Refresh(t.Context(), id); !errors.Is(err, actorkey.ErrUnavailable) {
			t.Errorf("%T, %v", key.Public, err)
		}
		close(gate)
		synctest.Wait()
		if key, err := k.Refresh(t.Context(), id); err != nil || !rsaKey().PublicKey.Equal(key.Public) {
			t.Errorf("%T, %v", key.Public, err)
		}
	})
}

func TestARefreshThatFailsKeepsTheKey(t *testing.T) {
	p := newPeer(t)
	var c clock
	k := newKeys(t, actorkey.Options{Clock: c.now})
	alice := p.URL + "/alice"
	p.serve("/alice", p.actor(t, "/alice", edPublic))
	mustKey(t, k, alice, alice, edPublic)
	p.handle("/alice", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	for range 2 { // the second within five minutes
		if _, err := k.Refresh(t.Context(), alice); !errors.Is(err, actorkey.ErrUnavailable) {
			t.Errorf("%v, want ErrUnavailable", err)
		}
		mustKey(t, k, alice, alice, edPublic)
	}
	if n := p.hits.Load(); n != 2 {
		t.Errorf("%d fetches, want 2", n)
	}
	// Gone is another matter: then the key is no more.
	c.advance(6 * time.Minute)
	p.handle("/alice", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	if _, err := k.Refresh(t.Context(), alice); !errors.Is(err, actorkey.ErrNoKey) {
		t.Errorf("%v, want ErrNoKey", err)
	}
	mustFail(t, k, alice, actorkey.ErrNoKey)
}

// gated answers only when told, within a synctest bubble.
func gated(t *testing.T, gate <-chan struct{}) (*http.Client, *atomic.Int64) {
	t.Helper()
	pemText := pemOf(t, edPublic)
	var n atomic.Int64
	return &http.Client{Transport: answer(func(r *http.Request) (*http.Response, error) {
		n.Add(1)
		select {
		case <-gate:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		id := r.URL.String()
		b, _ := json.Marshal(m{"id": id, "inbox": "x", "publicKey": m{"id": id + "#k", "owner": id, "publicKeyPem": pemText}})
		return reply(r, 200, string(b)), nil
	})}, &n
}

func TestOneFetchForAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		c, n := gated(t, gate)
		k := actorkey.New(actorkey.Options{Client: c})
		defer k.Close()
		first, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := k.Key(first, "https://a.example/a#k"); !errors.Is(err, actorkey.ErrUnavailable) || !errors.Is(err, context.Canceled) {
				t.Errorf("who gave up: %v", err)
			}
		})
		synctest.Wait()
		for i := range 50 {
			wg.Go(func() {
				get := k.Key
				if i%2 == 1 {
					get = k.Refresh
				}
				if _, err := get(t.Context(), "https://a.example/a#k"); err != nil {
					t.Errorf("who stayed: %v", err)
				}
			})
		}
		synctest.Wait()
		cancel() // the one who began it leaves
		synctest.Wait()
		close(gate)
		wg.Wait()
		if got := n.Load(); got != 1 {
			t.Errorf("%d fetches, want 1", got)
		}
	})
}

func TestSlowHostsDoNotStarveOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		c, n := gated(t, gate)
		slow := c.Transport
		c.Transport = answer(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "good.example" {
				open := make(chan struct{})
				close(open)
				g, _ := gated(t, open)
				return g.Transport.RoundTrip(r)
			}
			return slow.RoundTrip(r)
		})
		k := actorkey.New(actorkey.Options{Client: c})
		defer k.Close()
		var wg sync.WaitGroup
		var busy atomic.Int64
		start := time.Now()
		for i := range 500 {
			wg.Go(func() {
				_, err := k.Key(t.Context(), fmt.Sprintf("https://slow.example/%d#k", i))
				if !errors.Is(err, actorkey.ErrUnavailable) {
					t.Errorf("%v, want ErrUnavailable", err)
				}
				if time.Since(start) == 0 {
					busy.Add(1)
				}
			})
		}
		synctest.Wait()
		if got := n.Load(); got != 8 {
			t.Errorf("%d fetches at once at one host, want 8", got)
		}
		if got := busy.Load(); got != 500-64 {
			t.Errorf("%d were turned away at once, want %d", got, 500-64)
		}
		if _, err := k.Key(t.Context(), "https://good.example/a#k"); err != nil {
			t.Errorf("the good host starved: %v", err)
		}
		if time.Since(start) != 0 {
			t.Errorf("the good host waited %v", time.Since(start))
		}
		wg.Wait()
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("everything took %v", d)
		}
	})
}

func TestCloseEndsFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := gated(t, make(chan struct{}))
		k := actorkey.New(actorkey.Options{Client: c})
		done := make(chan error)
		go func() { _, err := k.Key(t.Context(), "https://a.example/a#k"); done <- err }()
		synctest.Wait()
		k.Close()
		if err := <-done; !errors.Is(err, actorkey.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		if _, err := k.Key(t.Context(), "https://b.example/b#k"); !errors.Is(err, actorkey.ErrUnavailable) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	c := &http.Client{Transport: answer(func(r *http.Request) (*http.Response, error) { return reply(r, 404, ""), nil })}
	k := newKeys(t, actorkey.Options{Client: c})
	for i := range 15_000 {
		mustFail(t, k, fmt.Sprintf("https://h%d.example/%01000d#k", i%97, i), actorkey.ErrNoKey)
	}
	if n := k.Remembered(); n > 8_200 {
		t.Errorf("%d answers remembered", n)
	}
}
