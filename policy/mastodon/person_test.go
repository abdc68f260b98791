package mastodon_test

import (
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/turn"
)

func TestPersonInEverySpelling(t *testing.T) {
	d := newDouble(t)
	i, _, _ := newInstance(t, d.URL, "")
	want := mastodon.Person{
		Account: "115390000000000001", Name: "Alice", Actor: alice,
		Inbox: alice + "/in", Outbox: alice + "/outbox",
	}
	for _, id := range []string{
		"alice", "ALICE", alice,
		"https://social.example/users/alice", "https://social.example/users/Alice/",
		"https://SOCIAL.example/users/alice", "https://social.example:443/users/alice",
		"https://social.example/@alice", "http://social.example/@alice",
		"https://social.example/web/alice", // only WebFinger knows this one
	} {
		if got, err := i.Person(t.Context(), id); err != nil || got != want {
			t.Errorf("Person(%q) = %+v, %v; want %+v", id, got, err, want)
		}
	}
}

// TestIsLocal: the default port makes no other host, neither in an id nor in domain.
func TestIsLocal(t *testing.T) {
	f := func(want bool, domain, id string) {
		t.Helper()
		i, err := mastodon.New(mastodon.Options{Domain: domain, Web: "http://127.0.0.1:1"})
		if err != nil {
			t.Fatal(err)
		}
		if got := i.IsLocal(id); got != want {
			t.Errorf("%s at %s: %v", id, domain, got)
		}
	}
	f(true, "social.example", "https://social.example:443/users/a")
	f(true, "localhost:80", "http://localhost/users/a")
	f(true, "localhost:80", "http://localhost:80/users/a")
	f(true, "localhost:443", "https://LOCALHOST/users/a")
	f(false, "localhost:80", "https://localhost/users/a")
	f(false, "localhost:80", "http://localhost:81/users/a")
	f(false, "localhost:80", "acct:a@localhost:80")
}

func TestPersonIsNobody(t *testing.T) {
	d := newDouble(t)
	i, _, _ := newInstance(t, d.URL, "")
	for _, id := range []string{
		"", "bob", "../alice", "alice@far.example", "al ice", strings.Repeat("a", 3000),
		"https://far.example/users/alice", "https://social.example.evil/users/alice",
		"https://social.example@evil.example/users/alice", "ftp://social.example/users/alice",
		"https://social.example/users/alice/followers", "https://social.example/",
		"https://social.example/ap/users/7", // a remote person the instance knows
		"https://social.example/ap/users/8", "https://www.w3.org/ns/activitystreams#Public",
		"https://social.example/users/alice?x=1",
	} {
		if got, err := i.Person(t.Context(), id); !errors.Is(err, mastodon.ErrNoPerson) {
			t.Errorf("Person(%q) = %+v, %v; want ErrNoPerson", id, got, err)
		}
	}
}

func TestAnswersAreRemembered(t *testing.T) {
	d := newDouble(t)
	i, c, r := newInstance(t, d.URL, "")
	for range 3 {
		_, _ = i.Person(t.Context(), "alice")
		_, _ = i.Person(t.Context(), alice)
		_, _ = i.Person(t.Context(), "nobody")
	}
	if got := d.count("/api/v1/accounts/lookup"); got != 2 {
		t.Errorf("asked %d times, want once per name", got)
	}
	c.turn(time.Minute)
	_, _ = i.Person(t.Context(), "alice")
	_, _ = i.Person(t.Context(), "nobody")
	if got := d.count("/api/v1/accounts/lookup"); got != 3 {
		t.Errorf("asked %d times, want the unknown name alone again after a minute", got)
	}
	c.turn(time.Hour)
	_, _ = i.Person(t.Context(), "alice")
	if got := d.count("/api/v1/accounts/lookup"); got != 4 {
		t.Errorf("asked %d times, want the known name again after an hour", got)
	}
	if r.writes != 1 {
		t.Errorf("the register was written %d times, want once while nothing changes", r.writes)
	}
}

func TestOneQuestionInFlight(t *testing.T) {
	d := newDouble(t)
	d.hold = make(chan struct{})
	i, _, _ := newInstance(t, d.URL, "")
	var done sync.WaitGroup
	for range 20 {
		done.Go(func() {
			if _, err := i.Person(t.Context(), "alice"); err != nil {
				t.Error(err)
			}
		})
	}
	close(d.hold)
	done.Wait()
	if got := d.count("/api/v1/accounts/lookup"); got != 1 {
		t.Errorf("asked %d times, want once", got)
	}
}

// Who waits for the instance has no turn meanwhile, whoever asked.
func TestWhoAsksGivesUpTheTurn(t *testing.T) {
	d := newDouble(t)
	d.hold = make(chan struct{})
	defer close(d.hold)
	i, _, _ := newInstance(t, d.URL, "")
	for range 3 {
		given := make(chan struct{})
		ctx := turn.Keeping(t.Context())
		turn.Keep(ctx, func() { close(given) })
		go func() { _, _ = i.Person(ctx, "alice") }()
		select {
		case <-given:
		case <-time.After(20 * time.Second):
			t.Fatal("the turn was kept")
		}
	}
}

func TestInstanceAway(t *testing.T) {
	d := newDouble(t)
	i, c, r := newInstance(t, d.URL, "")
	if _, err := i.Person(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	d.force("/api/v1/accounts/lookup", http.StatusBadGateway)
	c.turn(time.Hour)
	if p, err := i.Person(t.Context(), "alice"); err != nil || p.Actor != alice {
		t.Errorf("in memory: %+v, %v", p, err)
	}
	again, err := mastodon.New(mastodon.Options{Domain: domain, Web: d.URL, Register: r})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := again.Person(t.Context(), "https://social.example/users/ALICE"); err != nil || p.Actor != alice {
		t.Errorf("after a restart: %+v, %v", p, err)
	}
	if _, err := again.Person(t.Context(), "bob"); !errors.Is(err, mastodon.ErrUnavailable) {
		t.Errorf("never heard of: %v, want ErrUnavailable", err)
	}
}

func TestAuthorizedFetchHidesOnlyTheDocument(t *testing.T) {
	d := newDouble(t)
	d.force("/ap/users/115390000000000001", http.StatusUnauthorized)
	i, _, _ := newInstance(t, d.URL, "")
	p, err := i.Person(t.Context(), "alice")
	if err != nil || p.Inbox != alice+"/inbox" {
		t.Errorf("Person = %+v, %v; want Mastodon's own inbox path", p, err)
	}
}

func TestWrongDomainSaysSo(t *testing.T) {
	d := newDouble(t)
	d.host = "other.example"
	i, err := mastodon.New(mastodon.Options{Domain: "other.example", Web: d.URL})
	if err != nil {
		t.Fatal(err)
	}
	_, err = i.Person(t.Context(), "alice")
	if !errors.Is(err, mastodon.ErrUnavailable) || !strings.Contains(err.Error(), "domain must be") {
		t.Errorf("%v; want an error naming the key domain", err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []mastodon.Options{
		{Domain: "", Web: "http://127.0.0.1:3000"},
		{Domain: domain, Web: "127.0.0.1:3000"},
		{Domain: domain, Web: "https://social.example"},
		{Domain: domain, Web: "http://127.0.0.1:3000", Software: "mastadon"},
	} {
		if _, err := mastodon.New(o); err == nil {
			t.Errorf("New(%+v) is nil, want an error", o)
		}
	}
}

func TestSocketUpstream(t *testing.T) {
	d := newDouble(t)
	path := filepath.Join(t.TempDir(), "web.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: d.Config.Handler}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	i, _, _ := newInstance(t, "unix:"+path, "")
	if p, err := i.Person(t.Context(), "alice"); err != nil || p.Actor != alice {
		t.Errorf("Person = %+v, %v", p, err)
	}
	if err := i.Reachable(t.Context()); err != nil {
		t.Error(err)
	}
}
