package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/relay/admin"
)

func get(h http.Handler, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, http.NoBody))
	return w
}

func working(context.Context) error { return nil }

func TestHealthNeedsNothing(t *testing.T) {
	broken := admin.Check{Name: "store", Probe: func(context.Context) error { return errors.New("disk is full") }}
	a := admin.New(admin.Options{Checks: []admin.Check{broken}})
	a.Drain()
	if w := get(a.Handler(), "/healthz"); w.Code != http.StatusOK || w.Header().Get("Cache-Control") == "" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestReadyNamesWhatIsWrong(t *testing.T) {
	var storeErr error
	a := admin.New(admin.Options{Checks: []admin.Check{
		{Name: "store", Probe: func(context.Context) error { return storeErr }},
		{Name: "upstream", Probe: working},
	}})
	if w := get(a.Handler(), "/readyz"); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "leaving") {
		t.Errorf("all well: %d %s", w.Code, w.Body)
	}
	storeErr = errors.New("disk is full")
	w := get(a.Handler(), "/readyz")
	var state struct{ Checks map[string]string }
	if err := json.Unmarshal(w.Body.Bytes(), &state); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusServiceUnavailable || state.Checks["store"] != "disk is full" || state.Checks["upstream"] != "ok" {
		t.Errorf("%d %v", w.Code, state)
	}
}

// It is red at once: nothing is asked.
func TestReadyIsRedWhileDraining(t *testing.T) {
	a := admin.New(admin.Options{Checks: []admin.Check{{Name: "store", Probe: func(context.Context) error {
		t.Error("the store was asked")
		return nil
	}}}})
	a.Drain()
	if w := get(a.Handler(), "/readyz"); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "draining") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestReadyDoesNotWaitForTheDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		a := admin.New(admin.Options{Checks: []admin.Check{
			{Name: "upstream", Probe: func(context.Context) error { <-release; return nil }},
			{Name: "store", Probe: working},
		}})
		begin := time.Now()
		w := get(a.Handler(), "/readyz")
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), `"store":"ok"`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("it takes %v", took)
		}
		close(release)
	})
}

func TestMetricsAndProfiles(t *testing.T) {
	registry := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "sealgate_test_total"})
	registry.MustRegister(c)
	c.Inc()
	h := admin.New(admin.Options{Gatherer: registry}).Handler()
	if w := get(h, "/metrics"); !strings.Contains(w.Body.String(), "sealgate_test_total 1") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := get(h, "/debug/pprof/goroutine?debug=1"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "goroutine profile") {
		t.Errorf("%d", w.Code)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	for _, name := range []string{"cmdline", "symbol", "profile?seconds=1", "trace"} {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, httptest.NewRequestWithContext(gone, http.MethodGet, "/debug/pprof/"+name, http.NoBody)); w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

// TestNothingIsThere: what an Admin was not given it does not answer for.
func TestNothingIsThere(t *testing.T) {
	a := admin.New(admin.Options{})
	for _, path := range []string{"/metrics", "/mailbox/alice/has?id=x", "/policy", "/requests", "/page/"} {
		for _, h := range []http.Handler{a.Handler(), a.Commands()} {
			if w := get(h, path); w.Code != http.StatusNotFound {
				t.Errorf("%s: %d", path, w.Code)
			}
		}
	}
}

func TestHas(t *testing.T) {
	mailbox := func(_ context.Context, name, id string) (bool, error) {
		if name == "gone" {
			return false, errors.New("nobody here has this name")
		}
		return name == "alice" && id == "https://a.example/1?x=y", nil
	}
	a := admin.New(admin.Options{Mailbox: mailbox})
	for target, want := range map[string]struct {
		status int
		has    bool
	}{
		"/mailbox/alice/has?id=https%3A%2F%2Fa.example%2F1%3Fx%3Dy": {http.StatusOK, true},
		"/mailbox/alice/has?id=other":                               {http.StatusOK, false},
		"/mailbox/alice/has":                                        {http.StatusBadRequest, false},
		"/mailbox/gone/has?id=x":                                    {http.StatusServiceUnavailable, false},
	} {
		w := get(a.Commands(), target)
		var got admin.Has
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if w.Code != want.status || got.Has != want.has || (w.Code != http.StatusOK) != (got.Error != "") {
			t.Errorf("%s: %d %+v", target, w.Code, got)
		}
	}
	if w := get(a.Handler(), "/mailbox/alice/has?id=x"); w.Code != http.StatusNotFound {
		t.Errorf("the admin listener answers for mailboxes: %d", w.Code)
	}
}
