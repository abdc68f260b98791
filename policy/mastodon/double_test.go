package mastodon_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/mastodon"
)

// double is an instance that answers as Mastodon does: one person, alice, whose
// actor id is numeric. What a test changes, it changes under the lock.
type double struct {
	*httptest.Server

	mu     sync.Mutex
	asked  map[string]int // requests by path
	bad    map[string]int // status forced on a path
	hold   chan struct{}  // when set, every request waits for it
	scopes string
	host   string // what a request's Host must be
}

const (
	domain = "social.example"
	alice  = "https://social.example/ap/users/115390000000000001"
)

func newDouble(t *testing.T) *double {
	t.Helper()
	d := &double{asked: map[string]int{}, bad: map[string]int{}, scopes: `["read","write"]`, host: domain}
	mux := http.NewServeMux()
	account := `{"id":"115390000000000001","username":"Alice","acct":"Alice","uri":"` + alice + `"}`
	mux.HandleFunc("GET /api/v1/accounts/lookup", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("acct") != "alice" {
			http.Error(w, `{"error":"Record not found"}`, http.StatusNotFound)
			return
		}
		fmt.Fprint(w, account)
	})
	mux.HandleFunc("GET /api/v1/accounts/115390000000000001", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, account)
	})
	mux.HandleFunc("GET /api/v1/accounts/7", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":"7","username":"zoe","acct":"zoe@far.example","uri":"https://far.example/users/zoe"}`)
	})
	mux.HandleFunc("GET /ap/users/115390000000000001", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"id":%q,"preferredUsername":"Alice","inbox":"%s/in","outbox":"%s/outbox"}`, alice, alice, alice)
	})
	mux.HandleFunc("GET /.well-known/webfinger", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("resource") {
		case "https://social.example/web/alice", "acct:alice@social.example":
			fmt.Fprintf(w, `{"subject":"acct:Alice@social.example","links":[{"rel":"self","type":"application/activity+json","href":%q}]}`, alice)
		default:
			http.NotFound(w, r)
		}
	})
	mux.HandleFunc("GET /api/v1/accounts/verify_credentials", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			http.Error(w, `{"error":"The access token is invalid"}`, http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, account)
	})
	mux.HandleFunc("GET /oauth/token/info", func(w http.ResponseWriter, _ *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		fmt.Fprintf(w, `{"resource_owner_id":1,"scope":%s,"expires_in":null}`, d.scopes)
	})
	d.Server = httptest.NewServer(d.guard(mux))
	t.Cleanup(d.Close)
	return d
}

// guard is what stands before a Rails application: Host and scheme must be the
// public ones.
func (d *double) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.asked[r.URL.Path]++
		status, hold := d.bad[r.URL.Path], d.hold
		d.mu.Unlock()
		if hold != nil {
			<-hold
		}
		switch {
		case r.Host != d.host:
			http.Error(w, "Blocked hosts", http.StatusForbidden)
		case r.Header.Get("X-Forwarded-Proto") != "https":
			http.Redirect(w, r, "https://"+r.Host+r.URL.Path, http.StatusMovedPermanently)
		case status != 0:
			http.Error(w, `{"error":"forced"}`, status)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (d *double) force(path string, status int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bad[path] = status
}

func (d *double) count(path string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked[path]
}

// clock is a hand-turned clock.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) turn(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// register is a Register in memory.
type register struct {
	mu     sync.Mutex
	people map[string]mastodon.Person
	writes int
}

func (r *register) Remember(_ context.Context, p mastodon.Person) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes++
	for _, key := range p.Keys() {
		r.people[key] = p
	}
	return nil
}

func (r *register) Recall(_ context.Context, id string) (mastodon.Person, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.people[id]
	if !ok {
		return p, mastodon.ErrNoPerson
	}
	return p, nil
}

func newInstance(t *testing.T, web, software string) (*mastodon.Instance, *clock, *register) {
	t.Helper()
	c := &clock{now: time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)}
	r := &register{people: map[string]mastodon.Person{}}
	i, err := mastodon.New(mastodon.Options{Domain: domain, Web: web, Software: software, Register: r, Clock: c.time})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i, c, r
}
