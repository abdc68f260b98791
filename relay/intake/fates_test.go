package intake_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay/intake"
)

// answers is a gate that has one answer for everybody.
type answers policy.Decision

func (a answers) Decide(context.Context, policy.Question) policy.Decision { return policy.Decision(a) }

// TestFates: what each decision makes of an invitation, of one that brings a message of its group, and of a message.
func TestFates(t *testing.T) {
	clock := inboxtest.NewClock()
	store := &inboxtest.Memory{Clock: clock.Now}
	in := inbox.New(inbox.Options{Store: store, Clock: clock.Now})
	invited := create(inboxtest.Welcome([]byte("ref")))
	both := create(inboxtest.Welcome([]byte("ref")), ofGroup())
	message := create(ofGroup())
	f := func(action rules.Action, body, want string) {
		t.Helper()
		door := intake.New(intake.Options{Gate: answers{Action: action, RetryAfter: 2 * time.Hour}, Inbox: in, Clock: clock.Now})
		ruling, err := door.Judge(t.Context(), inbox.Delivery{Signer: member, Activity: parse(t, body), Owners: []inbox.Owner{"1"}})
		if err != nil {
			t.Fatal(err)
		}
		got, told := "", ruling.Outcome(make([]inbox.Result, len(ruling.Messages)))
		switch {
		case len(ruling.Messages) == 1 && told == nil:
			m := ruling.Messages[0]
			got = string(m.Fate)
			if m.Hidden {
				got += ", hidden"
			}
			if !m.Until.IsZero() {
				got += " for " + m.Until.Sub(clock.Now()).String()
			}
		case ruling.Dropped == 1 && told == nil:
			got = "dropped"
		case errors.Is(told, intake.ErrRefused):
			got = "refused"
		case errors.Is(told, intake.ErrLater):
			got = "later"
		}
		if got != want {
			t.Errorf("%s of %.300s: %q, want %q", action, body, got, want)
		}
	}
	f(rules.Allow, invited, "admit")
	f(rules.Hold, invited, "await")
	f(rules.Ignore, invited, "dropped")
	f(rules.Refuse, invited, "refused")
	f(rules.RetryLater, invited, "later")
	for _, turnsAway := range []rules.Action{rules.Ignore, rules.Refuse, rules.RetryLater} {
		f(turnsAway, both, "await")
		f(turnsAway, message, "admit")
	}
	f(rules.Slow, message, "slow for 1h0m0s")
	f(rules.Hide, message, "admit, hidden")
}

// TestOneAnswerForAll: who must wait has all wait, and what somebody gets, or is believed to, is refused by nobody.
func TestOneAnswerForAll(t *testing.T) {
	f := func(r intake.Ruling, want error, results ...error) {
		t.Helper()
		var list []inbox.Result
		for _, err := range results {
			list = append(list, inbox.Result{Err: err})
			r.Messages = append(r.Messages, inbox.Message{})
		}
		if got := r.Outcome(list); !errors.Is(got, want) {
			t.Errorf("%+v: %v, want %v", r, got, want)
		}
	}
	refused, later := intake.ErrRefused, intake.ErrLater
	f(intake.Ruling{}, nil)
	f(intake.Ruling{}, nil, nil, inbox.ErrDuplicate)
	f(intake.Ruling{Later: later}, inbox.ErrFull, inbox.ErrDuplicate, inbox.ErrFull)
	f(intake.Ruling{Later: later, Refused: refused, Dropped: 1}, later, nil)
	f(intake.Ruling{Refused: refused, Dropped: 1}, nil)
	f(intake.Ruling{Refused: refused}, nil, nil)
	f(intake.Ruling{Refused: refused}, refused)
}

// TestWait: a rule without a limit asks for a minute, and none for more than an hour.
func TestWait(t *testing.T) {
	f := func(asked, want time.Duration) {
		t.Helper()
		if got := intake.Wait(policy.Decision{RetryAfter: asked}); got != want {
			t.Errorf("asked for %v: %v, want %v", asked, got, want)
		}
	}
	f(0, time.Minute)
	f(1, 1)
	f(time.Hour-1, time.Hour-1)
	f(time.Hour+1, time.Hour)
}
