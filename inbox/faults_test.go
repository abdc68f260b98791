package inbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

var errDisk = errors.New("the disk")

// faulty is a Ledger of which one call fails: the one after left of them.
type faulty struct {
	inbox.Ledger
	left *int
}

func (f faulty) next() error {
	if *f.left--; *f.left == -1 {
		return errDisk
	}
	return nil
}

func (f faulty) Row(r inbox.Row) ([]byte, error) {
	if err := f.next(); err != nil {
		return nil, err
	}
	return f.Ledger.Row(r)
}

func (f faulty) SetRow(r inbox.Row, value []byte, life time.Duration) error {
	if err := f.next(); err != nil {
		return err
	}
	return f.Ledger.SetRow(r, value, life)
}

func (f faulty) Rows(kind inbox.RowKind, o inbox.Owner, name string) ([][]byte, error) {
	if err := f.next(); err != nil {
		return nil, err
	}
	return f.Ledger.Rows(kind, o, name)
}

func (f faulty) Deliver(m *inbox.Message) (inbox.Result, error) {
	if err := f.next(); err != nil {
		return inbox.Result{}, err
	}
	return f.Ledger.Deliver(m)
}

func (f faulty) Room(o inbox.Owner) (int64, error) {
	if err := f.next(); err != nil {
		return 0, err
	}
	return f.Ledger.Room(o)
}

func (f faulty) Share(o inbox.Owner, actor string) (int64, error) {
	if err := f.next(); err != nil {
		return 0, err
	}
	return f.Ledger.Share(o, actor)
}

// flaky is a store of whose Ledgers' calls one fails, after so many.
type flaky struct {
	*inboxtest.Memory
	left int
}

func (s *flaky) ChangeRows(ctx context.Context, f func(inbox.Ledger) error) error {
	return s.Memory.ChangeRows(ctx, func(l inbox.Ledger) error { return f(faulty{l, &s.left}) })
}

func (s *flaky) ReadRows(ctx context.Context, f func(inbox.Ledger) error) error {
	return s.ChangeRows(ctx, f)
}

// TestEveryFaultIsToldOf: whichever call of a transaction the store cannot answer, the error comes out and nobody is told
// that something was kept.
func TestEveryFaultIsToldOf(t *testing.T) {
	const ann, bea = "https://a.example/users/ann", "https://b.example/users/bea"
	door := inbox.Door{Requests: 2}.Complete(0)
	letter := func(actor, kind, group string, fate inbox.Fate, id string) *inbox.Message {
		m := inboxtest.Sample("bob", 1)
		m.Actor, m.Kind, m.Fate, m.Context, m.ActivityID = actor, kind, fate, "context of "+group, actor+id
		if m.Group = []byte(group); kind == "welcome" {
			m.Group = nil
		}
		return &m
	}
	enter := func(ms ...*inbox.Message) func(*inbox.Inbox, inbox.Books) error {
		return func(_ *inbox.Inbox, b inbox.Books) error {
			for _, m := range ms {
				err := b.ChangeRows(t.Context(), func(l inbox.Ledger) error { _, err := door.Enter(l, time.Now(), m); return err })
				if err != nil {
					return err
				}
			}
			return nil
		}
	}
	learn := func(members ...string) func(*inbox.Inbox, inbox.Books) error {
		return func(_ *inbox.Inbox, b inbox.Books) error {
			lesson := inbox.Lesson{Owner: "bob", Group: []byte("g"), Context: "context of g", Members: members}
			return b.ChangeRows(t.Context(), func(l inbox.Ledger) error { return door.Learn(l, time.Now(), lesson) })
		}
	}
	welcome, other := letter(ann, "welcome", "g", inbox.Await, "1"), letter(bea, "welcome", "h", inbox.Await, "1")
	commit, known := letter(ann, "commit", "g", inbox.Admit, "2"), letter(bea, "commit", "g", inbox.Admit, "2")
	waits := enter(welcome, commit, known)
	tagged := letter("https://c.example/users/cyd", "commit", "g", inbox.Admit, "2")
	tagged.Context = "context of k"
	firm := letter(ann, "commit", "g", inbox.Admit, "3")
	firm.Firm, firm.Activity = true, make([]byte, 2<<20)
	for name, test := range map[string]struct {
		before, f func(*inbox.Inbox, inbox.Books) error
	}{
		"a Welcome is delivered": {nil, enter(letter(ann, "welcome", "g", inbox.Admit, "1"))},
		"a stranger's message":   {nil, enter(commit)},
		"a Welcome waits":        {nil, enter(welcome)},
		"what follows":           {enter(welcome), enter(commit)},
		"a member's message":     {learn(ann), enter(commit)},
		"a slowed one":           {learn(ann), enter(letter(ann, "commit", "g", inbox.Slow, "1"))},
		"a third request":        {enter(welcome, other), enter(letter("https://c.example/users/cyd", "welcome", "i", inbox.Await, "1"))},
		"an allowed Welcome":     {waits, enter(letter(ann, "welcome", "g", inbox.Admit, "3"))},
		"a request overflows":    {waits, enter(firm)},
		"a lesson":               {nil, learn(ann)},
		"a lesson lets go":       {waits, learn(ann)},
		"a conversation does":    {enter(welcome, commit, letter(bea, "welcome", "k", inbox.Admit, "5")), enter(tagged)},
		"an own copy waits":      {func(in *inbox.Inbox, b inbox.Books) error { return errors.Join(waits(in, b), learn(ann)(in, b)) }, enter(letter(bea, "application", "g", inbox.Kept, "4"))},
		"the queue goes":         {func(in *inbox.Inbox, b inbox.Books) error { return errors.Join(waits(in, b), learn(ann)(in, b)) }, func(in *inbox.Inbox, _ inbox.Books) error { _, err := in.LetGo(t.Context()); return err }},
		"a request is accepted": {waits, func(in *inbox.Inbox, _ inbox.Books) error {
			return in.AcceptRequest(t.Context(), "bob", inbox.RequestID(ann))
		}},
		"one is dropped": {func(in *inbox.Inbox, b inbox.Books) error {
			return errors.Join(waits(in, b), enter(letter(bea, "welcome", "h", inbox.Admit, "5"))(in, b))
		}, func(in *inbox.Inbox, _ inbox.Books) error {
			return in.DropRequest(t.Context(), "bob", inbox.RequestID(ann))
		}},
		"what waits is asked for": {waits, func(in *inbox.Inbox, _ inbox.Books) error { _, err := in.Requests(t.Context(), "bob"); return err }},
		"a standing": {waits, func(in *inbox.Inbox, _ inbox.Books) error {
			_, err := in.Standing(t.Context(), "bob", []byte("g"), ann)
			return err
		}},
	} {
		const plenty = 1 << 20
		run := func(left int) (calls int, err error) {
			store := &flaky{Memory: &inboxtest.Memory{Door: door}, left: plenty}
			in := inbox.New(inbox.Options{Store: store})
			if test.before != nil {
				if err := test.before(in, store); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			store.left = left
			err = test.f(in, store)
			return left - store.left, err
		}
		calls, err := run(plenty)
		if err != nil || calls == 0 {
			t.Errorf("%s: %d calls, %v", name, calls, err)
		}
		for n := range calls {
			if _, err := run(n); !errors.Is(err, errDisk) {
				t.Errorf("%s, call %d of %d fails: %v", name, n+1, calls, err)
			}
		}
	}
}
