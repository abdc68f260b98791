package policy_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/policy/turn"
)

// slowly tells that it was asked, and answers when the test ends.
type slowly struct{ asked, end chan struct{} }

func (s slowly) RoundTrip(*http.Request) (*http.Response, error) {
	s.asked <- struct{}{}
	<-s.end
	return nil, context.Canceled
}

func (s slowly) Relation(context.Context, string, string, rules.Inherit) rules.Rel {
	s.asked <- struct{}{}
	<-s.end
	return rules.Stranger
}

// keeping is a context that keeps a turn, and says when it is given up.
func keeping(t *testing.T) (ctx context.Context, given <-chan struct{}) {
	t.Helper()
	end := make(chan struct{})
	ctx = turn.Keeping(t.Context())
	if !turn.Keep(ctx, func() { close(end) }) {
		t.Fatal("it keeps no turn")
	}
	return ctx, end
}

// Who waits for a key, or for a decision about the same knock, has no turn meanwhile.
func TestWhoWaitsGivesUpTheTurn(t *testing.T) {
	slow := slowly{make(chan struct{}, 8), make(chan struct{})}
	h := newHouse(t, &http.Client{Transport: slow}, func(o *policy.Options) { o.Relations = slow })
	defer close(slow.end)
	arrival := h.arrival(t, "https://far.example/users/alice#main-key", aliceKey, "")
	for name, work := range map[string]func(context.Context){
		"a key":          func(ctx context.Context) { _, _ = h.Admit(ctx, arrival) },
		"the same knock": func(ctx context.Context) { h.Decide(ctx, invitation(1)) },
	} {
		t.Run(name, func(t *testing.T) {
			go work(context.Background())
			<-slow.asked
			mine, given := keeping(t)
			go work(mine)
			select {
			case <-given:
			case <-time.After(20 * time.Second):
				t.Error("it kept its turn")
			}
		})
	}
}
