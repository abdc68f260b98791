package outbox

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/mls"
)

const (
	togetherFor = 10 * time.Second // a Welcome this soon after a commit belongs to it
	invitedFor  = 10 * time.Minute // a group's first message this soon after a Welcome was begun with it

	overtakeLook = 200 * time.Millisecond // how often a Welcome that waits looks for its commit
)

// thread is the id of the conversation that a new activity is given: that of its
// group, when the group was begun here and the client names none of its own. body is
// complete.
func (o *Outbox) thread(ctx context.Context, from Sender, body []byte) (string, error) {
	a, err := activity.Parse(body, o.limits)
	if err != nil || len(a.Threads()) > 0 {
		return "", nil //nolint:nilerr // what cannot be read is refused below, with its sentence
	}
	group, epoch, kind := groupIn(a)
	last := o.recent.of(from)
	if group == nil {
		return last.together(o.clock()).thread, nil // a Welcome
	}
	id := o.store.ThreadID(group)
	if kind == mls.KindCommit && epoch == 0 {
		return id, nil
	}
	lines, err := o.store.Thread(ctx, id, inbox.LocalReader(inbox.Owner(from.Account)), 0, 1)
	if err != nil || len(lines) > 0 {
		return id, err
	}
	if o.clock().Sub(last.invited) > invitedFor {
		return "", nil
	}
	if _, err = o.store.Joined(ctx, inbox.Owner(from.Account), group); errors.Is(err, inbox.ErrNotFound) {
		return id, nil
	}
	return "", err
}

// groupIn is the group of an activity's commit, else of its first message that shows
// one; nil without any.
func groupIn(a *activity.Activity) (group []byte, epoch uint64, kind string) {
	for _, o := range a.Objects {
		m, err := mls.Parse(o.Content)
		if err != nil {
			continue
		}
		id, e, ok := m.Group()
		if ok && (group == nil || m.Kind() == mls.KindCommit && kind != mls.KindCommit) {
			group, epoch, kind = append([]byte{}, id...), e, m.Kind()
		}
	}
	return group, epoch, kind
}

// turnOf is a submission's turn, but for its device.
func turnOf(from Sender, d *draft, to resolved) *Turn {
	group, epoch, kind := groupIn(d.activity)
	if group == nil {
		return nil
	}
	return &Turn{
		Group: group, Epoch: epoch, Commit: kind == mls.KindCommit, Account: from.Account, Elsewhere: to.elsewhere(),
		Against: slices.DeleteFunc(slices.Clone(to.owners), func(o inbox.Owner) bool { return string(o) == from.Account }),
	}
}

// threadOf is the conversation an activity belongs to when it is kept here, and who
// reads it besides those who get letters.
func (o *Outbox) threadOf(from Sender, d *draft, to resolved) Thread {
	t := Thread{ID: inbox.ThreadID(d.activity, Threads(o.base))}
	if t.ID == "" {
		return t
	}
	if own := inbox.Owner(from.Account); !slices.Contains(to.owners, own) {
		t.Readers = append(t.Readers, inbox.LocalReader(own))
	}
	t.Readers = append(t.Readers, to.elsewhere()...)
	return t
}

// stale tells a sender that they lost, and against what if they have got that.
func (o *Outbox) stale(ctx context.Context, from Sender, lost *Lost) error {
	e := &StaleError{Epoch: lost.Epoch}
	_, err := o.Activity(ctx, lost.Sent, Reader{Owner: inbox.Owner(from.Account), Actor: from.Actor})
	switch {
	case err == nil:
		e.Winner = o.activityURL(lost.Sent)
	case !errors.Is(err, ErrNotSent):
		return err
	}
	return e
}

// Thread gives up to limit lines of a conversation behind one, and how many there
// are, to who takes part in it; ErrNotSent to everybody else.
func (o *Outbox) Thread(ctx context.Context, id string, r Reader, behind uint64, limit int) ([]inbox.Line, int, error) {
	name := r.Actor
	if r.Owner != "" {
		name = inbox.LocalReader(r.Owner)
	}
	if !isID(id) || name == "" {
		return nil, 0, ErrNotSent
	}
	n, err := o.store.ThreadSize(ctx, id, name)
	if err == nil && n == 0 {
		err = ErrNotSent
	}
	if err != nil {
		return nil, 0, err
	}
	lines, err := o.store.Thread(ctx, id, name, behind, limit)
	return lines, n, err
}

// recent remembers what each person did last, as far as what they do next depends on
// it. It is bounded, and lost with a restart: a Welcome in between then goes alone.
type recent struct {
	clock   func() time.Time
	known   *otter.Cache[string, deed]
	commits *otter.Cache[string, []Place] // where a commit waits for its deliveries
}

// deed is a person's last commit and last Welcome.
type deed struct {
	committed time.Time
	commit    string // Names[0] of its Sent
	thread    string // of the commit
	invited   time.Time
}

func newRecent(clock func() time.Time) *recent {
	return &recent{
		clock:   clock,
		known:   newCache[deed](20000),
		commits: newCache[[]Place](2000),
	}
}

func (r *recent) of(from Sender) deed {
	d, _ := r.known.GetIfPresent(from.Account)
	return d
}

// together is d when a Welcome sent now belongs to its commit, else nothing.
func (d deed) together(now time.Time) deed {
	if now.Sub(d.committed) > togetherFor {
		return deed{}
	}
	return d
}

// note remembers what was kept.
func (r *recent) note(from Sender, s Submission, receipt Receipt) {
	d := r.of(from)
	switch {
	case s.Turn == nil && d.together(r.clock()).commit != "":
		return
	case s.Turn == nil:
		d.invited = r.clock()
	case s.Turn.Commit:
		d.committed, d.commit, d.thread = r.clock(), s.Sent.Names[0], s.Thread.ID
		var places []Place
		for i := range s.Deliveries {
			places = append(places, Place{s.Deliveries[i].Lane, receipt.First + uint64(i)})
		}
		r.commits.Set(d.commit, places)
	default:
		return
	}
	r.known.Set(from.Account, d)
}

// overtakes tells whether a delivery should wait a little: it is a Welcome, and the
// commit that it belongs to has not yet arrived everywhere. Whoever joins would
// otherwise speak in an epoch that others have not heard of.
func (o *Outbox) overtakes(ctx context.Context, d *Delivery) (bool, error) {
	if d.After == "" || o.clock().Sub(d.Accepted) > togetherFor {
		return false, nil
	}
	places, _ := o.recent.commits.GetIfPresent(d.After)
	for _, at := range places {
		list, err := o.store.Pending(ctx, Place{at.Lane, at.Seq - 1}, 1)
		if err != nil {
			return false, err
		}
		if len(list) > 0 && list[0].Place == at {
			return true, nil
		}
	}
	return false, nil
}
