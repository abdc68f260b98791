package relay_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/policy/turn"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/intake"
)

// turning is a gate, rules and a store that note whether a message that comes to them has a turn.
type turning struct {
	gate
	*inboxtest.Memory

	mu    sync.Mutex
	notes []string
}

func (r *turning) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, what)
}

func (r *turning) noted() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	notes := r.notes
	r.notes = nil
	return notes
}

func (r *turning) Admit(ctx context.Context, a policy.Arrival) (policy.Signer, error) {
	if turn.Keep(ctx, func() { r.note("given up") }) {
		r.note("kept")
	}
	return r.gate.Admit(ctx, a)
}

func (r *turning) Decide(ctx context.Context, _ policy.Question) policy.Decision {
	if turn.Held(ctx) {
		r.note("held")
	}
	return policy.Decision{Action: rules.Allow}
}

func (r *turning) Append(ctx context.Context, ms []inbox.Message) ([]inbox.Result, error) {
	r.note("stored")
	return r.Memory.Append(ctx, ms)
}

// TestAMessageKeepsItsTurnUntilTheStore: unless it has to wait for somebody, as the first does for what the instance knows of alice.
func TestAMessageKeepsItsTurnUntilTheStore(t *testing.T) {
	r := &turning{Memory: memory()}
	w := newWorldWith(t, r, r, func(o *relay.Options) {
		o.Inbox = inbox.New(inbox.Options{Store: r})
		o.Intake = intake.New(intake.Options{Gate: r, Inbox: o.Inbox})
	})
	for n, want := range [][]string{{"kept", "given up", "stored"}, {"kept", "held", "given up", "stored"}} {
		if got := w.deliver(t, "/users/alice/inbox", create(string(rune('1'+n)), alice)); got.status != http.StatusAccepted {
			t.Fatalf("message %d: %d", n, got.status)
		}
		if got := r.noted(); !slices.Equal(got, want) {
			t.Errorf("message %d: %q, want %q", n, got, want)
		}
	}
}
