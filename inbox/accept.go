package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/sealgate/sealgate/authority"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/mls"
)

// maxNames bounds the ids of one message, which are kept beside its activity: a Store takes as many.
const maxNames = 32 << 10

// Delivery is one activity with the actor whose signature covers its bytes and
// the local people it is for.
type Delivery struct {
	Signer   string
	Activity *activity.Activity
	Owners   []Owner
}

// Accept keeps d once per owner and answers one Result per owner, in order.
//
// The error is ErrForbidden when signer, actor and attributedTo are not one or an
// http(s) activity id is on another host, ErrMalformed when the MLS bytes do not
// decode strictly or the ids are too long; then nothing is kept. Any other is Store.Append's. An activity
// without an id is kept under a hash of its bytes, so that only the same bytes
// are its duplicate. Accept keeps no reference to d.
func (in *Inbox) Accept(ctx context.Context, d Delivery) ([]Result, error) {
	ms, err := in.Letters(d)
	if err != nil {
		return nil, err
	}
	return in.Keep(ctx, ms)
}

// Keep appends letters of one activity, as Accept does, and sets off what that causes.
func (in *Inbox) Keep(ctx context.Context, ms []Message) ([]Result, error) {
	if len(ms) == 0 {
		return nil, nil
	}
	results, err := in.store.Append(ctx, ms)
	if err != nil {
		return nil, fmt.Errorf("keep activity %q: %w", ms[0].ActivityID, err)
	}
	in.Kept(ms, results)
	return results, nil
}

// Letters is the first half of Accept, for who keeps messages together with
// something else: what to append, one Message per owner, with Accept's errors. They
// share d's bytes.
func (in *Inbox) Letters(d Delivery) ([]Message, error) {
	if err := oneAuthor(d.Signer, d.Activity); err != nil {
		return nil, err
	}
	m, err := in.message(d)
	if err != nil {
		return nil, err
	}
	ms := make([]Message, len(d.Owners))
	for i, o := range d.Owners {
		ms[i] = m
		ms[i].Owner = o
	}
	return ms, nil
}

// Kept is the second half: it counts what became of Letters, and wakes those who
// wait for it. Call it when ms are durable.
func (in *Inbox) Kept(ms []Message, results []Result) {
	if len(ms) == 0 {
		return
	}
	in.wakeKept(ms, results)
	in.count(ms[0].Kind, results)
	for i, r := range results {
		if r.Waits {
			in.prod()
		}
		if r.Request != "" {
			in.Tell(ms[i].Owner, Notice{Kind: MessageRequest, At: in.clock(), Request: r.Request, Actor: ms[i].Actor})
		}
	}
}

// prod has Run look for what is to be let go.
func (in *Inbox) prod() {
	select {
	case in.poke <- struct{}{}:
	default: // it will
	}
}

// Learned has what waited for a lesson let go. Call it when the lesson is durable.
func (in *Inbox) Learned(l Lesson) {
	if l.Group != nil {
		in.prod()
	}
}

// oneAuthor holds interop.md's rule: signer, actor and attributedTo are one, and
// nobody can spend an id of another's host.
func oneAuthor(signer string, a *activity.Activity) error {
	if a.Actor != signer {
		return fmt.Errorf("%w: signed by %q, actor is %q", ErrForbidden, signer, a.Actor)
	}
	for i, o := range a.Objects {
		if o.AttributedTo != "" && o.AttributedTo != signer {
			return fmt.Errorf("%w: object %d is attributed to %q, actor is %q", ErrForbidden, i+1, o.AttributedTo, signer)
		}
	}
	if host := authority.Of(a.ID); isWeb(a.ID) && (host == "" || host != authority.Of(signer)) {
		return fmt.Errorf("%w: activity id %q is not on the host of its actor %q", ErrForbidden, a.ID, signer)
	}
	return nil
}

// isWeb tells whether an id means to be a web address.
func isWeb(id string) bool {
	scheme, _, _ := strings.Cut(id, ":")
	return strings.EqualFold(scheme, "https") || strings.EqualFold(scheme, "http")
}

// message decodes every MLS object strictly and describes them; what brings a Welcome
// is one, whatever comes with it.
func (in *Inbox) message(d Delivery) (Message, error) {
	m := Message{
		Actor:      d.Signer,
		ActivityID: d.Activity.ID,
		Received:   in.clock().UTC(),
		Activity:   d.Activity.Raw,
		Context:    d.Activity.Tag(),
	}
	if m.ActivityID == "" {
		sum := sha256.Sum256(d.Activity.Raw)
		m.ActivityID = "urn:sealgate:sha256:" + hex.EncodeToString(sum[:])
	}
	for i, o := range d.Activity.Objects {
		if o.Content == nil { // a Delete or Remove names an object without its bytes
			continue
		}
		framed, err := mls.Parse(o.Content)
		if err != nil {
			return Message{}, fmt.Errorf("%w: object %d: %w", ErrMalformed, i+1, err)
		}
		m.describe(framed)
	}
	if n := len(m.Actor) + len(m.ActivityID) + len(m.Group) + len(m.Context); n > maxNames {
		return Message{}, fmt.Errorf("%w: its ids take %d bytes, over %d", ErrMalformed, n, maxNames)
	}
	m.Conversation = ThreadID(d.Activity, in.threads)
	return m, nil
}

// describe notes what one object is. The group of a commit comes before that of
// anything else: it is what moves a group.
func (m *Message) describe(framed *mls.Message) {
	if kind := framed.Kind(); m.Kind == "" || kind == mls.KindWelcome {
		m.Kind = kind
	}
	commits := framed.Kind() == mls.KindCommit
	if group, epoch, ok := framed.Group(); ok && (m.Group == nil || commits && !m.Commit) {
		m.Group, m.Epoch = append([]byte{}, group...), epoch
	}
	m.Commit = m.Commit || commits
}

// ThreadID is the id, behind the prefix of those kept here, of the conversation
// that an activity names, "" when it names none.
func ThreadID(a *activity.Activity, prefix string) string {
	for _, thread := range a.Threads() {
		if id, ok := strings.CutPrefix(thread, prefix); ok && prefix != "" && isThreadID(id) {
			return id
		}
	}
	return ""
}

// isThreadID: 128 bits in hex.
func isThreadID(id string) bool {
	return len(id) == 32 && strings.Trim(id, "0123456789abcdef") == ""
}
