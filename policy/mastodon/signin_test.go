package mastodon_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/mastodon"
)

// cabinet keeps one application.
type cabinet struct {
	mu  sync.Mutex
	app *mastodon.App
}

func (c *cabinet) KeepApp(_ context.Context, a mastodon.App) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.app = &a
	return nil
}

func (c *cabinet) KeptApp(context.Context) (mastodon.App, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.app == nil {
		return mastodon.App{}, mastodon.ErrNoApp
	}
	return *c.app, nil
}

// registry is an instance where applications register.
type registry struct {
	mu        sync.Mutex
	supported string // scopes; empty: it has no metadata
	status    int    // of every registration, when set
	asked     []string
	forgot    bool
	hangsUp   bool // once, on a registration
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch req.URL.Path {
	case "/.well-known/oauth-authorization-server":
		if r.supported == "" {
			http.NotFound(w, req)
			return
		}
		fmt.Fprintf(w, `{"issuer":"https://social.example/","scopes_supported":["%s"]}`, strings.ReplaceAll(r.supported, " ", `","`))
	case "/api/v1/apps":
		if r.hangsUp {
			r.hangsUp = false
			panic(http.ErrAbortHandler)
		}
		scopes := req.PostFormValue("scopes")
		r.asked = append(r.asked, scopes)
		if r.status != 0 && scopes != "read" {
			w.WriteHeader(r.status)
			return
		}
		r.forgot = false
		fmt.Fprintf(w, `{"client_id":"app%d","client_secret":"s"}`, len(r.asked))
	case "/oauth/token":
		if r.forgot {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client"}`)
			return
		}
		fmt.Fprint(w, `{"access_token":"of the app"}`)
	default:
		http.NotFound(w, req)
	}
}

func newSignIn(t *testing.T, r *registry, c *cabinet, clock func() time.Time) *mastodon.SignIn {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	i, err := mastodon.New(mastodon.Options{Domain: domain, Web: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	s, err := i.NewSignIn(mastodon.SignInOptions{
		Base: "https://social.example", Redirect: "https://social.example/e2ee/oauth/callback", Apps: c, Clock: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestApplicationIsRegisteredOnceWithWhatTheInstanceHas(t *testing.T) {
	for name, c := range map[string]struct {
		registry *registry
		want     string
	}{
		"4.3 and later": {&registry{supported: "read write profile read:follows read:blocks read:mutes read:notifications read:search write:reports"}, "profile read:follows read:blocks read:mutes read:notifications read:search write:reports"},
		"no reports":    {&registry{supported: "read profile read:follows read:blocks read:mutes"}, "profile read:follows read:blocks read:mutes"},
		"before 4.3":    {&registry{}, "read:accounts read:follows read:blocks read:mutes read:notifications read:search write:reports"},
		"stubborn":      {&registry{status: http.StatusUnprocessableEntity}, "read"},
	} {
		kept := &cabinet{}
		s := newSignIn(t, c.registry, kept, time.Now)
		for range 5 {
			page, err := s.LoginPage(t.Context(), "the state", "the challenge")
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			u, err := url.Parse(page)
			if err != nil || u.Path != "/oauth/authorize" || u.Query().Get("scope") != c.want || u.Query().Get("state") != "the state" {
				t.Errorf("%s: the page is %s", name, page)
			}
		}
		if last := c.registry.asked[len(c.registry.asked)-1]; last != c.want || len(c.registry.asked) > 2 {
			t.Errorf("%s: registered with %q", name, c.registry.asked)
		}
	}
}

// snac closes kept connections without a word; the question goes out once more.
func TestApplicationIsRegisteredOverAConnectionThatHadEnded(t *testing.T) {
	r := &registry{hangsUp: true}
	if _, err := newSignIn(t, r, &cabinet{}, time.Now).LoginPage(t.Context(), "s", "c"); err != nil || len(r.asked) != 1 {
		t.Errorf("%v, asked %d times", err, len(r.asked))
	}
}

func TestApplicationIsRegisteredAnewButNotForEver(t *testing.T) {
	now := time.Now()
	r := &registry{}
	s := newSignIn(t, r, &cabinet{}, func() time.Time { return now })
	for n := 1; n <= 3; n++ {
		if _, err := s.LoginPage(t.Context(), "s", "c"); err != nil || len(r.asked) != n {
			t.Fatalf("registration %d: %v, asked %d times", n, err, len(r.asked))
		}
		r.mu.Lock()
		r.forgot = true
		r.mu.Unlock()
		now = now.Add(10*time.Minute + time.Second)
	}
	r.mu.Lock()
	r.status = http.StatusTooManyRequests
	r.mu.Unlock()
	for range 20 {
		if _, err := s.LoginPage(t.Context(), "s", "c"); !errors.Is(err, mastodon.ErrUnavailable) {
			t.Errorf("while the instance refuses: %v", err)
		}
	}
	if n := len(r.asked); n > 3+5 {
		t.Errorf("the instance was asked %d times", n)
	}
}
