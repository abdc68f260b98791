package intake_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay/intake"
	"github.com/sealgate/sealgate/storage"
)

// heard is the real gate, and what it said.
type heard struct {
	*policy.Gate
	said []string
}

func (g *heard) Decide(ctx context.Context, q policy.Question) policy.Decision {
	d := g.Gate.Decide(ctx, q)
	said := string(d.Action)
	if d.Again {
		said += " again"
	}
	g.said = append(g.said, said)
	return d
}

// TestAVerdictIsAboutWhatCame: whoever has a harmless message allowed that is not kept, and sends an invitation under its id, meets the
// rule for invitations; the same again is not decided again.
func TestAVerdictIsAboutWhatCame(t *testing.T) {
	clock := inboxtest.NewClock()
	store, err := storage.Open(storage.Options{Path: t.TempDir(), Key: make([]byte, storage.KeySize), Retention: 30 * 24 * time.Hour, Quota: 200, Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	gate := &heard{Gate: realGate(t, []byte(`version: 1
rules: [{name: strangers-wait, at: contact, when: 'msg.kind == "welcome"', then: hold}]
`), store, clock.Now).Gate}
	in := inbox.New(inbox.Options{Store: store, Clock: clock.Now})
	door := intake.New(intake.Options{Gate: gate, Inbox: in, Clock: clock.Now})
	send := func(body string) inbox.Result {
		t.Helper()
		ruling, err := door.Judge(t.Context(), inbox.Delivery{Signer: member, Activity: parse(t, body), Owners: []inbox.Owner{"1"}})
		if err != nil {
			t.Fatal(err)
		}
		rs, err := in.Keep(t.Context(), ruling.Messages)
		if err != nil {
			t.Fatal(err)
		}
		return rs[0]
	}
	for range 2 {
		if r := send(create(ofGroup())); !errors.Is(r.Err, inbox.ErrFull) {
			t.Fatalf("%+v", r)
		}
	}
	if r := send(create(inboxtest.Welcome(make([]byte, 32)))); !r.Waits {
		t.Errorf("a stranger's invitation: %+v", r)
	}
	if want := []string{"allow", "allow again", "hold"}; !slices.Equal(gate.said, want) {
		t.Errorf("%q, want %q", gate.said, want)
	}
}

// tracing counts what a directory is asked.
type tracing struct {
	inbox.KeyStore
	traces int
}

func (s *tracing) Trace(ctx context.Context, name string) (inbox.Trace, error) {
	s.traces++
	return s.KeyStore.Trace(ctx, name)
}

// asking allows everything and notes to whose package an invitation is.
type asking struct{ ours []string }

func (a *asking) Decide(_ context.Context, q policy.Question) policy.Decision {
	if q.Msg.KeyIsOurs {
		a.ours = append(a.ours, q.Account)
	}
	return policy.Decision{Action: rules.Allow}
}

// TestARefIsLookedUpOnce: however many recipients an invitation has; and what is no hash is not looked up at all.
func TestARefIsLookedUpOnce(t *testing.T) {
	clock := inboxtest.NewClock()
	store := &tracing{KeyStore: &inboxtest.KeyMemory{Clock: clock.Now}}
	keys := inboxtest.NewDirectory(store, clock.Now)
	ours := inboxtest.Fill(t, keys, "7", inboxtest.NewClient("https://social.example/users/7", clock.Now()), 1)[0].Ref
	gate := &asking{}
	door := intake.New(intake.Options{Gate: gate, Inbox: inbox.New(inbox.Options{Store: &inboxtest.Memory{}}), Keys: keys, Clock: clock.Now})
	refs := slices.Repeat([][]byte{nil, []byte("r")}, 1000)
	refs = append(refs, make([]byte, 32), ours)
	var owners []inbox.Owner
	for n := range 50 {
		owners = append(owners, inbox.Owner(fmt.Sprint(n)))
	}
	store.traces = 0
	if _, err := door.Judge(t.Context(), inbox.Delivery{Signer: member, Activity: parse(t, create(inboxtest.Welcome(refs...))), Owners: owners}); err != nil {
		t.Fatal(err)
	}
	if store.traces != 2 || !slices.Equal(gate.ours, []string{"7"}) {
		t.Errorf("%d were looked up for %d recipients; it is an invitation of %v", store.traces, len(owners), gate.ours)
	}
}
