// Package admin answers what only the operator may ask: is the gateway alive, is
// it ready, what does it count, and, on the socket, the questions of the
// program's own commands.
//
// Its handlers belong on `admin.listen` and `admin.socket` (mode 0600), never on
// the public listener: they know no people and no tokens.
package admin

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sealgate/sealgate/policy"
)

// checkTimeout bounds each check of /readyz; they run side by side.
const checkTimeout = 3 * time.Second

// Check is one thing that must work for the gateway to be ready: a store that
// can be written, an upstream that can be reached. Probe returns nil when it
// does, and may be called concurrently.
type Check struct {
	Name  string
	Probe func(ctx context.Context) error
}

// Options of an Admin. Every field may be empty.
type Options struct {
	Checks   []Check
	Gatherer prometheus.Gatherer // nil: no /metrics
	Mailbox  Mailbox             // nil: no /mailbox on the socket
	Policy   *policy.Book        // nil: no /policy on the socket
	Commands map[string]Command  // by name, on the socket
	Door     Door                // nil: no /requests on the socket
	Leaving  func() bool         // nil: never

	Page       http.Handler // of /page/ on the listener, with a login of its own; nil: none
	SocketPage http.Handler // the same on the socket, without

	Log *slog.Logger
}

// Admin has the handlers. It is safe for concurrent use.
type Admin struct {
	checks   []Check
	gatherer prometheus.Gatherer
	mailbox  Mailbox
	policy   *policy.Book
	commands map[string]Command
	door     Door
	leaving  func() bool
	page     http.Handler
	onSocket http.Handler
	log      *slog.Logger
	draining atomic.Bool
}

// New makes an Admin.
func New(o Options) *Admin {
	a := &Admin{checks: o.Checks, gatherer: o.Gatherer, mailbox: o.Mailbox, commands: o.Commands, policy: o.Policy, door: o.Door, leaving: o.Leaving, page: o.Page, onSocket: o.SocketPage, log: o.Log}
	if a.leaving == nil {
		a.leaving = func() bool { return false }
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	return a
}

// Drain makes /readyz red from now on: the gateway finishes what it has and
// wants nothing new.
func (a *Admin) Drain() { a.draining.Store(true) }

// Handler is for `admin.listen`: /healthz, /readyz, /metrics, /debug/pprof/, /page/.
func (a *Admin) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		a.answer(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	mux.HandleFunc("GET /readyz", a.ready)
	if a.gatherer != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(a.gatherer, promhttp.HandlerOpts{}))
	}
	mountPage(mux, a.page)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// mountPage adds the operator's page, where there is one.
func mountPage(mux *http.ServeMux, page http.Handler) {
	if page == nil {
		return
	}
	mux.Handle("/page", page)
	mux.Handle("/page/", page)
	mux.Handle("GET /{$}", http.RedirectHandler("/page/", http.StatusSeeOther))
}

// readiness is the answer of /readyz: "ok" or what is wrong, by name.
type readiness struct {
	Ready   bool              `json:"ready"`
	Checks  map[string]string `json:"checks"`
	Leaving bool              `json:"leaving,omitempty"` // it takes no messages, as its operator has said
}

func (a *Admin) ready(w http.ResponseWriter, r *http.Request) {
	state := readiness{Leaving: a.leaving(), Checks: map[string]string{"serving": "draining: the gateway is stopping"}}
	if !a.draining.Load() { // else it is said at once, whatever the checks would take
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		state = a.probe(ctx)
	}
	status := http.StatusOK
	if !state.Ready {
		status = http.StatusServiceUnavailable
	}
	a.answer(w, status, state)
}

// probe runs all checks side by side; one that does not come back in time has
// failed.
func (a *Admin) probe(ctx context.Context) readiness {
	state := readiness{Ready: true, Checks: map[string]string{}, Leaving: a.leaving()}
	found := make([]error, len(a.checks))
	var all sync.WaitGroup
	for i, c := range a.checks {
		all.Go(func() { found[i] = within(ctx, c.Probe) })
	}
	all.Wait()
	for i, c := range a.checks {
		state.Checks[c.Name] = "ok"
		if found[i] != nil {
			state.Ready = false
			state.Checks[c.Name] = found[i].Error()
		}
	}
	return state
}

// within gives up on a probe that does not heed its context.
func within(ctx context.Context, probe func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- probe(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *Admin) answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		a.log.Debug("an answer to the operator was cut short", "error", err)
	}
}
