// Package intake stands between what arrives and the mailboxes: it asks policy about an activity
// once for each local recipient, and turns the answer into what inbox does with it.
//
// It refuses and drops invitations only. A message of a group its recipient joined is always kept,
// and so is one that might be.
package intake

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
)

// What Judge answers when nobody gets the activity. Each comes as a *RuledError.
var (
	// ErrRefused: a rule refuses it (403).
	ErrRefused = errors.New("intake: refused by policy")
	// ErrLater: a rule asks to come again (429).
	ErrLater = errors.New("intake: policy asks to wait")
)

// RuledError is a decision that somebody is told.
type RuledError struct {
	Decision policy.Decision
	Reason   error // ErrRefused or ErrLater
}

func (e *RuledError) Error() string {
	return e.Reason.Error() + ": decision " + e.Decision.ID + " by rule " + e.Decision.Rule
}

// Unwrap returns ErrRefused or ErrLater.
func (e *RuledError) Unwrap() error { return e.Reason }

// waitUsually is what a rule without a limit asks for; waitAtMost bounds it, and for how
// long a group is slowed.
const (
	waitUsually = time.Minute
	waitAtMost  = time.Hour
)

// Gate decides; *policy.Gate is the real one.
type Gate interface {
	Decide(ctx context.Context, q policy.Question) policy.Decision
}

// Options of an Intake. Inbox is required.
type Options struct {
	Gate   Gate // nil: everything is allowed, nothing waits
	Inbox  *inbox.Inbox
	Keys   *inbox.Directory // nil: no Welcome names a package of ours
	Places *Places          // nil: there is always room
	Clock  func() time.Time
}

// Intake judges activities. It is safe for concurrent use.
type Intake struct{ o Options }

// New returns an Intake.
func New(o Options) *Intake {
	if o.Inbox == nil {
		panic("bug: intake.New without an Inbox")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return &Intake{o}
}

// Ruling is what becomes of one activity.
type Ruling struct {
	Messages []inbox.Message // to be kept
	Refused  error           // *RuledError of somebody who refuses it; nil: nobody
	Later    error           // *RuledError of somebody it has to wait for
	Dropped  int             // recipients who get nothing of it, though the sender is told 202
}

// Outcome is the one answer for all recipients, who commit separately: if any must
// wait, all wait; it is refused when everybody refuses.
func (r *Ruling) Outcome(results []inbox.Result) error {
	for _, one := range results {
		if one.Err != nil && !errors.Is(one.Err, inbox.ErrDuplicate) {
			return one.Err
		}
	}
	if r.Later != nil {
		return r.Later
	}
	if len(r.Messages)+r.Dropped == 0 {
		return r.Refused
	}
	return nil
}

// Enter takes a place for something of a size at a stage until leave is called. The error is a
// *policy.LimitError.
func (in *Intake) Enter(at rules.Stage, client netip.Addr, size int) (leave func(), err error) {
	return in.o.Places.Enter(at, client, size)
}

// Crowded tells, at sight of a body, whether there is no place for it, and when its sender may come again. It allocates nothing.
func (in *Intake) Crowded(body []byte) (comeAgain time.Duration, crowded bool) {
	return in.o.Places.Crowded(body)
}

// Await lets something that has a place wait for a host to tell a key, until over is called. The error is a
// *policy.LimitError.
func (in *Intake) Await(host string, size int) (over func(), err error) {
	return in.o.Places.Await(host, size)
}

// Judge decides about d for each of its owners. Errors are those of inbox.Letters,
// or the store's, or a *policy.LimitError when d is of no group that any of them is in, and there is
// room for such only.
func (in *Intake) Judge(ctx context.Context, d inbox.Delivery) (Ruling, error) {
	letters, err := in.o.Inbox.Letters(d)
	if err != nil {
		return Ruling{}, err
	}
	if in.o.Gate == nil {
		return Ruling{Messages: letters}, nil
	}
	a := newArrival(d.Activity)
	if a.invites, err = in.lookUp(ctx, d.Activity); err != nil {
		return Ruling{}, err
	}
	asked, err := in.questions(ctx, a, letters)
	if err != nil {
		return Ruling{}, err
	}
	if err := in.o.Places.stay(latest(asked)); err != nil {
		return Ruling{}, err
	}
	out := Ruling{Dropped: len(letters) - len(asked)}
	for i := range asked {
		q := &asked[i]
		in.apply(&out, q.letter, q.At, in.o.Gate.Decide(ctx, q.Question))
	}
	return out, nil
}

// asked is what policy is asked about one letter.
type asked struct {
	policy.Question
	letter *inbox.Message
}

// questions are those about all letters but those of severed senders.
func (in *Intake) questions(ctx context.Context, a *arrival, letters []inbox.Message) ([]asked, error) {
	list := make([]asked, 0, len(letters))
	for i := range letters {
		m := &letters[i]
		if in.o.Inbox.Severed(m.Owner, m.Actor) {
			continue
		}
		s, err := in.o.Inbox.Standing(ctx, m.Owner, m.Group, m.Actor)
		if err != nil {
			return nil, err
		}
		list = append(list, asked{question(a, m, s), m})
	}
	return list, nil
}

// latest is the stage at which all of them are shed: that of a group if it is one's of anybody.
func latest(list []asked) rules.Stage {
	for i := range list {
		if list[i].At == rules.Group {
			return rules.Group
		}
	}
	return rules.Contact
}

// question is what policy is asked about one recipient's message. A verdict is sticky for the id with what came under it: one that
// was not kept may come again with something else.
func question(a *arrival, m *inbox.Message, s inbox.Standing) policy.Question {
	q := policy.Question{
		At: rules.Contact, Actor: m.Actor, Account: string(m.Owner), Activity: m.ActivityID + " " + a.contents, Msg: a.msg,
		Group: rules.GroupState{ID: string(m.Group), Joined: s.Joined},
	}
	q.Msg.Kind, q.Msg.Bytes, q.Msg.KeyIsOurs = m.Kind, len(m.Activity), a.invites[m.Owner]
	if s.Joined && s.Seen {
		q.At = rules.Group
	}
	return q
}

// apply turns a decision into a fate. Only a pure invitation can be turned away: what
// brings a message of a group as well waits instead.
func (in *Intake) apply(out *Ruling, m *inbox.Message, at rules.Stage, d policy.Decision) {
	m.Fate = inbox.Admit
	turnsAway := d.Action == rules.Ignore || d.Action == rules.Refuse || d.Action == rules.RetryLater
	switch {
	case turnsAway && (at != rules.Contact || m.Kind != rules.KindWelcome):
		// The rule is passed over (policy.md).
	case d.Action == rules.Hold || turnsAway && m.Group != nil:
		m.Fate = inbox.Await
	case d.Action == rules.Ignore:
		out.Dropped++
		return
	case d.Action == rules.Refuse:
		out.Refused = &RuledError{d, ErrRefused}
		return
	case d.Action == rules.RetryLater:
		out.Later = &RuledError{d, ErrLater}
		return
	case d.Action == rules.Slow:
		m.Fate, m.Until = inbox.Slow, in.o.Clock().Add(Wait(d))
	case d.Action == rules.Hide:
		m.Hidden = true
	}
	out.Messages = append(out.Messages, *m)
}

// Wait is how long a decision asks to wait.
func Wait(d policy.Decision) time.Duration {
	if d.RetryAfter <= 0 {
		return waitUsually
	}
	return min(d.RetryAfter, waitAtMost)
}

// MaySend asks policy whether a local person may send d.Activity to those elsewhere.
// The error is a *RuledError: nobody gets it then, for a group of which half has a
// commit is broken; or one of inbox.Letters.
func (in *Intake) MaySend(ctx context.Context, from Sender, a *activity.Activity, remote []string) error {
	if in.o.Gate == nil || len(remote) == 0 {
		return nil
	}
	letters, err := in.o.Inbox.Letters(inbox.Delivery{Signer: from.Actor, Activity: a, Owners: []inbox.Owner{inbox.Owner(from.Account)}})
	if err != nil {
		return err
	}
	sent := newArrival(a)
	q := policy.Question{
		At: rules.Send, Actor: from.Actor, Account: from.Account, Activity: from.knock(sent.contents), Msg: sent.msg,
		Group: rules.GroupState{ID: string(letters[0].Group), Joined: letters[0].Group != nil}, // who sends in a group is in it
	}
	for _, q.Remote = range remote {
		switch d := in.o.Gate.Decide(ctx, q); d.Action {
		case rules.Refuse:
			return &RuledError{d, ErrRefused}
		case rules.RetryLater:
			return &RuledError{d, ErrLater}
		default:
		}
	}
	return nil
}

// Sender is a local person who posts. Activity stays the same when they post again
// because an answer was lost.
type Sender struct{ Actor, Account, Activity string }

// knock is what a verdict at send is sticky for: the MLS messages in it. Whoever had to wait and posts them again, under
// another id as well, has not used up once more what their other recipients cost.
func (from Sender) knock(contents string) string { return cmp.Or(contents, from.Activity) }

// Fetch asks policy about a read of o's key packages by actor, "" when nobody signed.
func (in *Intake) Fetch(ctx context.Context, o inbox.Owner, actor string) policy.Decision {
	if in.o.Gate == nil {
		return policy.Decision{Action: rules.Allow}
	}
	if actor != "" && in.o.Inbox.Severed(o, actor) {
		return policy.Decision{Action: rules.Ignore}
	}
	return in.o.Gate.Decide(ctx, policy.Question{
		At: rules.Contact, Actor: actor, Account: string(o), Msg: rules.Msg{Kind: rules.KindKeyFetch, Recipients: 1, Hosts: 1},
	})
}
