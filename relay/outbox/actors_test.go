package outbox_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/relay/outbox"
)

// asked counts how often a peer's actors are looked up; while down is set it answers 503.
func asked(p *peer) (lookups *atomic.Int64, down *atomic.Bool) {
	lookups, down = new(atomic.Int64), new(atomic.Bool)
	p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			lookups.Add(1)
			if down.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
		p.ServeHTTP(w, r)
	})
	return lookups, down
}

// TestActorsAreRemembered: one lookup for all who want it at once, another after a day,
// and what was known holds while the server does not answer.
func TestActorsAreRemembered(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	lookups, down := asked(p)
	w.run(t)
	var group sync.WaitGroup
	for n := range uint64(20) {
		group.Go(func() {
			if _, err := w.Submit(context.Background(), w.from, "", message("g", n+1, "", p.actor("zoe"))); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	p.await(t, 20)
	if n := lookups.Load(); n != 1 {
		t.Errorf("%d lookups for 20 messages", n)
	}
	w.ahead.Add(int64(25 * time.Hour))
	down.Store(true)
	w.post(t, message("g", 21, "", p.actor("zoe")))
	p.await(t, 21)
	if n := lookups.Load(); n != 2 {
		t.Errorf("%d lookups after a day", n)
	}
}

// TestAwayIsAskedAgain: whose server did not answer when they were written to is asked again, and soon.
func TestAwayIsAskedAgain(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	_, down := asked(p)
	down.Store(true)
	w.post(t, message("g", 1, "", p.actor("zoe")))
	down.Store(false)
	w.ahead.Add(int64(2 * time.Minute))
	w.run(t)
	p.await(t, 1)
}

// TestActorMoved: a 404 of the inbox has the actor looked up anew, and the message goes
// where they are now.
func TestActorMoved(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	var moved atomic.Bool
	p.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case !moved.Load():
			p.ServeHTTP(rw, r)
		case r.Method == http.MethodGet:
			_, _ = rw.Write([]byte(`{"id":"` + p.actor("zoe") + `","inbox":"` + p.URL + `/new/inbox"}`))
		case r.URL.Path != "/new/inbox":
			rw.WriteHeader(http.StatusNotFound)
		default:
			p.ServeHTTP(rw, r)
		}
	})
	w.run(t)
	w.post(t, message("g", 1, "", p.actor("zoe")))
	p.await(t, 1)
	moved.Store(true)
	w.post(t, message("g", 2, "", p.actor("zoe")))
	if got := p.await(t, 2)[1]; got.path != "/new/inbox" {
		t.Errorf("it went to %s", got.path)
	}
}

// TestAuthorizedFetch: who wants to know who asks gets a signature, made for each address that the question is sent on to.
func TestAuthorizedFetch(t *testing.T) {
	w := newWorld(t, settings{sign: func(r *http.Request) error { r.Header.Set("Signature", "for "+r.URL.Path); return nil }})
	p := newPeer(t, nil)
	p.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && r.Header.Get("Signature") != "for "+r.URL.Path:
			rw.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/users/zoe":
			http.Redirect(rw, r, "/actors/1", http.StatusFound)
		case r.URL.Path == "/actors/1":
			fmt.Fprintf(rw, `{"id":%q,"inbox":%q}`, p.actor("zoe"), p.URL+"/inbox")
		default:
			p.ServeHTTP(rw, r)
		}
	})
	w.run(t)
	w.post(t, message("g", 1, "", p.actor("zoe")))
	p.await(t, 1)
}

// TestHugeActor: whose document is longer than is read cannot be written to, and the sender is told at once.
func TestHugeActor(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	p.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, `{"id":%q,"inbox":%q,"summary":"%01048576d"}`, p.actor("zoe"), p.URL+"/inbox", 0)
	})
	if _, err := w.Submit(t.Context(), w.from, "", message("g", 1, "", p.actor("zoe"))); !errors.Is(err, outbox.ErrMalformed) {
		t.Errorf("posted: %v", err)
	}
}

// TestSharedInboxMoved: what several shared goes to everybody's own inbox when it is no more, and those who are gone
// keep it from nobody.
func TestSharedInboxMoved(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	var moved atomic.Bool
	p.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case !moved.Load() || strings.HasPrefix(r.URL.Path, "/new/"):
			p.ServeHTTP(rw, r)
		case r.Method == http.MethodGet && r.URL.Path != "/users/gone":
			fmt.Fprintf(rw, `{"id":%q,"inbox":%q}`, p.URL+r.URL.Path, p.URL+"/new"+r.URL.Path)
		default:
			rw.WriteHeader(http.StatusGone)
		}
	})
	w.run(t)
	everybody := []string{p.actor("gone"), p.actor("zoe"), p.actor("yan")}
	w.post(t, message("g", 1, "", everybody...))
	p.await(t, 1)
	moved.Store(true)
	w.post(t, message("g", 2, "", everybody...))
	got := p.await(t, 3)
	if got[0].path != "/inbox" || got[1].path != "/new/users/zoe" || got[2].path != "/new/users/yan" {
		t.Errorf("they went to %s, %s, %s", got[0].path, got[1].path, got[2].path)
	}
}

// TestSharedInboxGone: the personal inboxes are tried also where the actors still name the shared one.
func TestSharedInboxGone(t *testing.T) {
	w := newWorld(t, settings{})
	p := newPeer(t, func(r *http.Request, _ arrived) int {
		if r.URL.Path == "/inbox" {
			return http.StatusNotFound
		}
		return http.StatusAccepted
	})
	w.run(t)
	w.post(t, message("g", 1, "", p.actor("zoe"), p.actor("yan")))
	if got := p.await(t, 2); got[0].path != "/users/zoe/inbox" || got[1].path != "/users/yan/inbox" {
		t.Errorf("they went to %s and %s", got[0].path, got[1].path)
	}
}

// TestGone: who was deleted keeps a message from nobody, and the sender is told. Who never was is refused.
func TestGone(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	p.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/users/gone":
			rw.WriteHeader(http.StatusGone)
		case "/users/nobody":
			rw.WriteHeader(http.StatusNotFound)
		default:
			p.ServeHTTP(rw, r)
		}
	})
	if _, err := w.Submit(t.Context(), w.from, "", message("g", 1, "", p.actor("nobody"), p.actor("zoe"))); !errors.Is(err, outbox.ErrMalformed) {
		t.Errorf("to nobody: %v", err)
	}
	w.run(t)
	posted := w.post(t, message("g", 2, "", p.actor("gone"), p.actor("zoe")))
	p.await(t, 1)
	until(t, func() bool { return w.reported(t, posted.ID, p) == inbox.DeliveryFailed })
}

// TestGoneHere: who was deleted here keeps a message from nobody else, and is nobody alone.
func TestGoneHere(t *testing.T) {
	w := newWorld(t, settings{none: true})
	carl := mastodon.Person{Account: "999", Name: "carl", Actor: w.origin + "/users/carl"}
	if err := w.store.Remember(t.Context(), carl); err != nil {
		t.Fatal(err)
	}
	for range 2 { // asked, and remembered
		w.post(t, message("g", 1, "", carl.Actor, w.bob.Actor))
	}
	for _, to := range [][]string{{carl.Actor}, {w.origin + "/users/nobody", w.bob.Actor}} {
		if _, err := w.Submit(t.Context(), w.from, "", message("g", 2, "", to...)); !errors.Is(err, outbox.ErrMalformed) {
			t.Errorf("to %s: %v", to, err)
		}
	}
	if u, err := w.store.Usage(t.Context(), inbox.Owner(w.bob.Account)); err != nil || u.Total != 2 {
		t.Errorf("bob has %d, %v", u.Total, err)
	}
}

// TestSharedInboxGoneAndAway: who must be tried again has nobody posted to twice.
func TestSharedInboxGoneAndAway(t *testing.T) {
	w := newWorld(t, settings{})
	var tries atomic.Int32
	p := newPeer(t, func(r *http.Request, _ arrived) int {
		switch {
		case r.URL.Path == "/inbox":
			return http.StatusGone
		case r.URL.Path == "/users/yan/inbox" && tries.Add(1) < 3:
			return http.StatusBadGateway
		}
		return http.StatusAccepted
	})
	w.run(t)
	w.post(t, message("g", 1, "", p.actor("zoe"), p.actor("yan"), p.actor("una")))
	w.post(t, message("g", 2, "", p.actor("ida")))
	paths := ""
	for _, got := range p.await(t, 4) {
		paths += got.path + " "
	}
	if want := "/users/zoe/inbox /users/yan/inbox /users/una/inbox /users/ida/inbox "; paths != want {
		t.Errorf("they went to %s, want %s", paths, want)
	}
}

// TestNobodyIsAskedTooLate: when there is no time left, those who are not known are not asked.
func TestNobodyIsAskedTooLate(t *testing.T) {
	w, p := newWorld(t, settings{}), newPeer(t, nil)
	w.post(t, message("g", 1, "", p.actor("zoe"))) // the key is known
	var asked atomic.Int32
	p.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/users/late") {
			asked.Add(1)
		}
		p.ServeHTTP(rw, r)
	})
	var late []string
	for i := range 100 {
		late = append(late, p.actor(fmt.Sprint("late", i)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = w.Submit(ctx, w.from, "", message("g", 2, "", late...))
	for i := range 10 {
		w.post(t, message("g", 3, "", p.actor(fmt.Sprint("yan", i))))
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("%d were asked", n)
	}
}

// TestKeyRotated: a person's new key is used after five minutes.
func TestKeyRotated(t *testing.T) {
	w := newInstance(t, instance.OpenFetch)
	directory := keyFiles(t, w.alice)
	w.open(t, t.TempDir(), files(t, directory))
	p := newPeer(t, nil)
	w.run(t)
	w.post(t, message("g", 1, "", p.actor("zoe")))
	if err := verify(p.await(t, 1)[0], p, w.alice); err != nil {
		t.Error(err)
	}
	fresh, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w.alice.Key = fresh
	text, err := os.ReadFile(filepath.Join(keyFiles(t, w.alice), "alice.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "alice.pem"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	w.ahead.Add(int64(6 * time.Minute))
	w.post(t, message("g", 2, "", p.actor("zoe")))
	if err := verify(p.await(t, 2)[1], p, w.alice); err != nil {
		t.Errorf("with the new key: %v", err)
	}
}
