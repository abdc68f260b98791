package relay_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/intake"
)

// asked counts whoever comes to the gate.
type asked struct{ known, admitted, decided atomic.Int64 }

func (a *asked) Admit(context.Context, policy.Arrival) (policy.Signer, error) {
	a.admitted.Add(1)
	return policy.Signer{Actor: zoe}, nil
}

func (a *asked) Knows(policy.Arrival) bool { a.known.Add(1); return true }

func (a *asked) Decide(context.Context, policy.Question) policy.Decision {
	a.decided.Add(1)
	return policy.Decision{Action: rules.Allow}
}

// TestOrdinaryTrafficNeverMeetsPolicy: what is no MLS costs the policy nothing, for it is never asked; what is, once.
func TestOrdinaryTrafficNeverMeetsPolicy(t *testing.T) {
	a, store := &asked{}, memory()
	w := newWorldWith(t, store, a, func(o *relay.Options) {
		o.Inbox = inbox.New(inbox.Options{Store: store})
		o.Intake = intake.New(intake.Options{Gate: a, Inbox: o.Inbox})
	})
	note := `{"@context":"https://www.w3.org/ns/activitystreams","id":"https://far.example/1","type":"Create","actor":"` + zoe + `","object":{"type":"Note","content":"hello"}}`
	for _, r := range []struct{ method, path, body string }{
		{"POST", "/inbox", note},
		{"POST", "/users/alice/inbox", note},
		{"POST", "/users/alice/inbox", `{"type":"Delete"}`},
		{"POST", "/api/v1/statuses", "status=hi"},
		{"GET", "/users/alice", ""},
		{"GET", "/@alice", ""},
		{"GET", "/api/v1/timelines/home", ""},
		{"GET", "/.well-known/webfinger?resource=acct:alice@social.example", ""},
	} {
		w.ask(t, r.method, r.path, strings.NewReader(r.body), "Signature", "x", "Accept", "application/activity+json")
	}
	if a.known.Load()+a.admitted.Load()+a.decided.Load() != 0 {
		t.Errorf("the gate was asked %d times, the rules %d times", a.admitted.Load(), a.decided.Load())
	}
	if got := w.deliver(t, "/users/alice/inbox", create("1", alice)); got.status != http.StatusAccepted || a.admitted.Load() != 1 || a.decided.Load() != 1 {
		t.Errorf("a message: %d, %d and %d times", got.status, a.admitted.Load(), a.decided.Load())
	}
}
