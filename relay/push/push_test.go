package push_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/relay/push"
)

const subject = "https://social.example/e2ee/actor"

// service is a push service (RFC 8030). It takes what is signed as RFC 8292 says and
// records when.
type service struct {
	t      *testing.T
	key    string // the applicationServerKey that subscriptions are restricted to
	origin string

	mu     sync.Mutex
	status map[string]int // by path; 0: 201
	came   map[string][]time.Time
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(r); err != nil || len(body) > 0 {
		s.t.Errorf("%s: %v, %d bytes of body", r.URL, err, len(body))
	}
	s.came[r.URL.Path] = append(s.came[r.URL.Path], time.Now())
	if status := s.status[r.URL.Path]; status != 0 {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(status)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

// check verifies the VAPID header with a library that shares no code with the gateway.
func (s *service) check(r *http.Request) error {
	if r.Method != http.MethodPost || r.Header.Get("TTL") != "2419200" || r.Header.Get("Urgency") != "high" || r.Header.Get("Topic") == "" || r.Header.Get("Content-Encoding") != "" {
		return fmt.Errorf("%s with %v", r.Method, r.Header)
	}
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "vapid t=")
	text, key, ok2 := strings.Cut(rest, ", k=")
	if !ok || !ok2 || key != s.key {
		return errors.New("no vapid header under the subscription's key")
	}
	point, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil {
		return err
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return err
	}
	signed, err := jose.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return err
	}
	payload, err := signed.Verify(public)
	if err != nil {
		return err
	}
	var claims struct {
		Aud, Sub string
		Exp      int64
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return err
	}
	life := time.Until(time.Unix(claims.Exp, 0))
	if claims.Aud != s.origin || claims.Sub != subject || life <= 0 || life > 24*time.Hour {
		return fmt.Errorf("claims %+v", claims)
	}
	return nil
}

func (s *service) answer(path string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status[path] = status
}

func (s *service) times(path string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.came[path]
}

// direct answers requests without a network, so that a test owns the time.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// answer is a transport made of a function.
type answer func(*http.Request) (*http.Response, error)

func (f answer) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func newPusher(t *testing.T, client *http.Client, values push.Values) (*push.Pusher, *service) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &service{t: t, origin: "https://push.example", status: map[string]int{}, came: map[string][]time.Time{}}
	if client == nil {
		client = &http.Client{Transport: direct{s}}
	}
	p, err := push.New(push.Options{Values: values, Client: client, Key: key, Subject: subject})
	if err != nil {
		t.Fatal(err)
	}
	s.key = p.PublicKey()
	t.Cleanup(p.Close)
	return p, s
}

func subscribe(t *testing.T, p *push.Pusher, o inbox.Owner, endpoint string) push.Subscription {
	t.Helper()
	s, err := p.Subscribe(t.Context(), o, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAMessageWakesEveryDeviceOfItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newPusher(t, nil, &inboxtest.Memory{})
		subscribe(t, p, "bob", "https://push.example/phone")
		subscribe(t, p, "bob", "https://push.example/tablet")
		subscribe(t, p, "carol", "https://push.example/carol")
		p.Wake("bob")
		p.Wake("nobody")
		synctest.Wait()
		for path, want := range map[string]int{"/phone": 1, "/tablet": 1, "/carol": 0} {
			if got := len(s.times(path)); got != want {
				t.Errorf("%s: %d pushes, want %d", path, got, want)
			}
		}
	})
}

func TestManyMessagesAreOnePush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newPusher(t, nil, &inboxtest.Memory{})
		subscribe(t, p, "bob", "https://push.example/phone")
		stop := time.After(21 * time.Second)
		every := time.NewTicker(10 * time.Millisecond)
		for running := true; running; {
			select {
			case <-every.C:
				p.Wake("bob")
			case <-stop:
				running = false
			}
		}
		every.Stop()
		<-time.After(time.Minute)
		came := s.times("/phone")
		if len(came) != 6 { // at 0, 5, 10, 15, 20 s and for what came after that
			t.Fatalf("%d pushes, want 6: %v", len(came), came)
		}
		for i := range came[1:] {
			if pause := came[i+1].Sub(came[i]); pause < 5*time.Second {
				t.Errorf("pushes %v apart", pause)
			}
		}
	})
}

func TestAnEndedSubscriptionIsRemoved(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusGone} {
		synctest.Test(t, func(t *testing.T) {
			p, s := newPusher(t, nil, &inboxtest.Memory{})
			subscribe(t, p, "bob", "https://push.example/gone")
			subscribe(t, p, "bob", "https://push.example/phone")
			s.answer("/gone", status)
			p.Wake("bob")
			synctest.Wait()
			list, err := p.List(t.Context(), "bob")
			if err != nil || len(list) != 1 || list[0].Endpoint != "https://push.example/phone" {
				t.Errorf("after %d: %+v, %v", status, list, err)
			}
		})
	}
}

func TestAServiceThatWantsToWaitIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newPusher(t, nil, &inboxtest.Memory{})
		subscribe(t, p, "bob", "https://push.example/busy")
		s.answer("/busy", http.StatusTooManyRequests)
		p.Wake("bob")
		synctest.Wait()
		s.answer("/busy", 0)
		for range 5 {
			<-time.After(11 * time.Second)
			p.Wake("bob")
		}
		if got := len(s.times("/busy")); got != 1 {
			t.Fatalf("%d pushes within Retry-After", got)
		}
		<-time.After(20 * time.Second)
		if got := len(s.times("/busy")); got < 2 {
			t.Error("it was not tried again")
		}
	})
}

func TestFailuresAreTriedAgainLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newPusher(t, nil, &inboxtest.Memory{})
		subscribe(t, p, "bob", "https://push.example/broken")
		subscribe(t, p, "bob", "https://push.example/phone")
		s.answer("/broken", http.StatusInternalServerError)
		p.Wake("bob")
		<-time.After(48 * time.Hour)
		if n := len(s.times("/phone")); n != 1 {
			t.Errorf("one message woke the phone %d times, for another device", n)
		}
		came := s.times("/broken")
		if len(came) < 3 || len(came) > 10 {
			t.Fatalf("%d tries in two days", len(came))
		}
		for i := 2; i < len(came); i++ {
			if came[i].Sub(came[i-1]) < came[i-1].Sub(came[i-2]) {
				t.Errorf("tries at %v", came)
			}
		}
	})
}

// TestWhatComesWhileItIsLeftAloneIsTold: also after a message that was the last to be tried again for.
func TestWhatComesWhileItIsLeftAloneIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newPusher(t, nil, &inboxtest.Memory{})
		subscribe(t, p, "bob", "https://push.example/broken")
		s.answer("/broken", http.StatusInternalServerError)
		p.Wake("bob")
		<-time.After(48 * time.Hour)
		for _, status := range []int{http.StatusInternalServerError, 0} {
			s.answer("/broken", status)
			before := len(s.times("/broken"))
			p.Wake("bob")
			<-time.After(10 * time.Minute)
			p.Wake("bob") // the service is left alone, or has just been told
			<-time.After(48 * time.Hour)
			if n := len(s.times("/broken")) - before; n != 2 {
				t.Errorf("%d tries for two messages, answered %d", n, status)
			}
		}
	})
}

// TestASlowServiceKeepsOnePlace: however many messages come, it is asked for one of them, and nobody else waits.
func TestASlowServiceKeepsOnePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow, quick atomic.Int32
		p, _ := newPusher(t, &http.Client{Transport: direct{http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/quick" {
				quick.Add(1)
				return
			}
			slow.Add(1)
			<-time.After(time.Hour)
		})}}, &inboxtest.Memory{})
		subscribe(t, p, "bob", "https://push.example/slow")
		subscribe(t, p, "carol", "https://push.example/quick")
		for range 100 {
			p.Wake("bob")
			<-time.After(6 * time.Second)
		}
		p.Wake("carol")
		synctest.Wait()
		if slow.Load() != 1 || quick.Load() != 1 {
			t.Errorf("the slow service was asked %d times, the quick one %d times", slow.Load(), quick.Load())
		}
		<-time.After(3 * time.Hour)
		if n := slow.Load(); n != 2 {
			t.Errorf("what came meanwhile was told %d times", n-1)
		}
	})
}

// TestResults: what services answer is counted, how long they ask to wait is kept, an hour at most, and no log names an endpoint.
func TestResults(t *testing.T) {
	f := func(status int, retryAfter, result string, wait time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var came []time.Time
			var logged bytes.Buffer
			registry := prometheus.NewRegistry()
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			p, err := push.New(push.Options{
				Values: &inboxtest.Memory{}, Key: key, Subject: subject, Metrics: registry,
				Log: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
				Client: &http.Client{Transport: answer(func(r *http.Request) (*http.Response, error) {
					came = append(came, time.Now())
					if status == 0 {
						return nil, io.ErrUnexpectedEOF
					}
					return &http.Response{StatusCode: status, Request: r, Header: http.Header{"Retry-After": {retryAfter}}, Body: http.NoBody}, nil
				})},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			subscribe(t, p, "bob", "https://push.example/secret")
			p.Wake("bob")
			<-time.After(100 * time.Minute)
			if n := counted(t, registry, result); n == 0 {
				t.Errorf("%d is not counted as %q", status, result)
			}
			if len(came) == 0 || (len(came) > 1) != (wait > 0) || wait > 0 && came[1].Sub(came[0]) != wait {
				t.Errorf("%d, %q: tries at %v, want one after %v", status, retryAfter, came, wait)
			}
			if strings.Contains(logged.String(), "push.example") {
				t.Errorf("the log names the endpoint: %s", &logged)
			}
		})
	}
	f(200, "", "sent", 0)
	f(201, "60", "sent", 0)
	f(410, "60", "gone", 0)
	f(429, "", "later", 30*time.Second)
	f(429, "60", "later", time.Minute)
	f(503, "86400", "later", time.Hour)
	f(503, "99999999999999999999", "later", time.Hour)
	f(429, "Fri, 31 Dec 9999 23:59:59 GMT", "later", time.Hour)
	f(503, "Sat, 01 Jan 2000 00:10:00 GMT", "later", 10*time.Minute) // where time begins in this test
	f(503, "-5", "later", 30*time.Second)
	f(400, "60", "failed", 30*time.Second)
	f(302, "60", "failed", 30*time.Second)
	f(0, "", "failed", 30*time.Second)
}

// counted is how many pushes ended with result.
func counted(t *testing.T, registry *prometheus.Registry, result string) (n int) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			for _, l := range one.GetLabel() {
				if f.GetName() == "sealgate_web_pushes_total" && l.GetValue() == result {
					n = int(one.GetCounter().GetValue())
				}
			}
		}
	}
	return n
}

// TestTokensAreRenewed: a service never sees a token that has ended (service.check).
func TestTokensAreRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newPusher(t, nil, &inboxtest.Memory{})
		subscribe(t, p, "bob", "https://push.example/phone")
		for range 8 {
			p.Wake("bob")
			<-time.After(5*time.Hour + time.Second)
		}
		if n := len(s.times("/phone")); n != 8 {
			t.Errorf("%d pushes", n)
		}
	})
}

func TestSubscriptionsAreDurableAndBounded(t *testing.T) {
	values := &inboxtest.Memory{}
	p, _ := newPusher(t, nil, values)
	first := subscribe(t, p, "bob", "https://push.example/0")
	if again := subscribe(t, p, "bob", "https://push.example/0"); again != first {
		t.Errorf("%+v is not %+v", again, first)
	}
	for i := range 20 {
		subscribe(t, p, "bob", fmt.Sprintf("https://push.example/%d", i))
	}
	other, _ := newPusher(t, nil, values) // after a restart
	list, err := other.List(t.Context(), "bob")
	if err != nil || len(list) != 16 || list[15].Endpoint != "https://push.example/19" {
		t.Errorf("%d kept, %v: %+v", len(list), err, list)
	}
	if err := other.Unsubscribe(t.Context(), "bob", list[3].ID); err != nil {
		t.Error(err)
	}
	if err := other.Unsubscribe(t.Context(), "bob", list[3].ID); !errors.Is(err, push.ErrNoSubscription) {
		t.Errorf("twice: %v", err)
	}
	if err := other.Unsubscribe(t.Context(), "bob", list[5].Endpoint); err != nil {
		t.Error(err)
	}
	if err := other.Unsubscribe(t.Context(), "carol", list[4].ID); !errors.Is(err, push.ErrNoSubscription) {
		t.Errorf("somebody else's: %v", err)
	}
}

func TestEndpointsThatAreNone(t *testing.T) {
	p, _ := newPusher(t, nil, &inboxtest.Memory{})
	for _, endpoint := range []string{
		"", "x", "/path", "http://push.example/x", "ftp://push.example/x", "https:///x", "https://u:p@push.example/x",
		"https://push.example/x#y", "https://push.example/" + strings.Repeat("x", 2048), "https://push.example/\n",
	} {
		if _, err := p.Subscribe(t.Context(), "bob", endpoint); !errors.Is(err, push.ErrEndpoint) {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

// TestPushesStayOutside: the client refuses what a subscription must not reach.
func TestPushesStayOutside(t *testing.T) {
	hit := false
	inner := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hit = true }))
	defer inner.Close()
	registry := prometheus.NewRegistry()
	p, _ := newPusher(t, actorkey.NewClient(actorkey.ClientOptions{Timeout: time.Second, Metrics: registry}), &inboxtest.Memory{})
	subscribe(t, p, "bob", inner.URL+"/admin")
	p.Wake("bob")
	for limit := time.After(10 * time.Second); refused(t, registry) == 0; {
		select {
		case <-limit:
			t.Fatal("nothing was refused within ten seconds")
		case <-time.After(5 * time.Millisecond):
		}
	}
	p.Close()
	if hit {
		t.Error("a push reached loopback")
	}
}

// refused counts the connections that the client did not make.
func refused(t *testing.T, registry *prometheus.Registry) int {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "sealgate_dial_refused_total" {
			return len(f.GetMetric())
		}
	}
	return 0
}

// TestOverTheNetwork: a real connection, to a push service on loopback.
func TestOverTheNetwork(t *testing.T) {
	s := &service{t: t, status: map[string]int{}, came: map[string][]time.Time{}}
	server := httptest.NewTLSServer(s)
	defer server.Close()
	p, made := newPusher(t, server.Client(), &inboxtest.Memory{})
	s.origin, s.key = server.URL, made.key
	subscribe(t, p, "bob", server.URL+"/phone")
	p.Wake("bob")
	for limit := time.After(10 * time.Second); len(s.times("/phone")) == 0; {
		select {
		case <-limit:
			t.Fatal("no push within ten seconds")
		case <-time.After(5 * time.Millisecond):
		}
	}
}
