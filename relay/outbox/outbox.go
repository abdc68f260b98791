// Package outbox sends what local people post: Submit gives an activity its ids,
// keeps it durably for its local recipients and queues one delivery per remote
// inbox; Run delivers, signed as the person, in order and until it succeeds.
//
// It never re-encodes an activity, never posts to an address that the federation
// client refuses, and never drops a delivery without telling the sender. What is
// in flight when the program is killed may be sent twice, nothing else.
//
// Specification: ActivityPub §6 and §7, "MLS over ActivityPub" (draft of 28 July 2026).
package outbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/singleflight"

	"github.com/sealgate/sealgate/authority"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/relay/intake"
)

// StaleError means that another device's commit was first: 409.
type StaleError struct {
	Epoch  uint64 // where the group stands
	Winner string // the id of that commit's activity, for who has got it; else ""
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("outbox: another commit was first, the group is in epoch %d", e.Epoch)
}

// ErrReceiveOnly means that nobody's messages can be signed: 503.
var ErrReceiveOnly = errors.New("outbox: no signing source")

// resolveTime is how long Submit waits to learn about recipients it does not know;
// who did not answer by then is asked again when their delivery is due.
const resolveTime = 3 * time.Second

// Options of an Outbox. Base, Store, Inbox, People and Client are required.
type Options struct {
	Base    string // what ids given here begin with, such as https://social.example
	Store   Store
	Inbox   *inbox.Inbox
	Intake  *intake.Intake // nil: policy allows everything
	People  *mastodon.Instance
	Keys    Keys    // without Keys and Courier, signing.source is none: only local people can be written to
	Courier Courier // instead of Keys
	Client  *http.Client
	Sign    func(*http.Request) error // signs fetches, as the gateway's own actor; may be nil
	Limits  activity.Limits
	Each    bool          // every recipient elsewhere gets a copy addressed to them alone
	Jitter  time.Duration // a delivery waits a random time up to this

	Spread  Spread // nil: random
	Clock   func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Outbox takes and delivers. It is safe for concurrent use.
type Outbox struct {
	base   string
	store  Store
	inbox  *inbox.Inbox
	intake *intake.Intake
	people *mastodon.Instance
	limits activity.Limits
	each   bool
	jitter time.Duration
	clock  func() time.Time
	log    *slog.Logger

	posting singleflight.Group // what is on its way under ids of its clients'
	recent  *recent
	actors  *actors
	post    *poster // nil without Keys
	courier Courier // nil with them
	lanes   *laneNames
	queue   *scheduler
	bodies  *otter.Cache[string, Sent]
	ahead   atomic.Int64 // deliveries in memory
	metrics *metrics
}

// New returns an Outbox over o. Nothing is delivered until Run.
func New(o Options) *Outbox {
	if o.Store == nil || o.Inbox == nil || o.People == nil || o.Client == nil {
		panic("bug: outbox.New without Store, Inbox, People or Client")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Spread == nil {
		o.Spread = spreadRandomly
	}
	out := &Outbox{
		base: o.Base, store: o.Store, inbox: o.Inbox, intake: o.Intake, people: o.People,
		limits: o.Limits, each: o.Each, jitter: o.Jitter, clock: o.Clock, log: o.Log,
		recent: newRecent(o.Clock), actors: newActors(o), lanes: newLaneNames(), bodies: newBodies(),
	}
	out.courier = o.Courier
	if out.intake == nil {
		out.intake = intake.New(intake.Options{Inbox: o.Inbox})
	}
	if o.Keys != nil {
		out.post = newPoster(o)
	}
	out.queue = newScheduler(o.Clock, o.Spread)
	out.metrics = newMetrics(o.Metrics, out.queue)
	return out
}

// newCache remembers at most so many values.
func newCache[V any](most int) *otter.Cache[string, V] {
	return otter.Must(&otter.Options[string, V]{MaximumSize: most, Logger: &otter.NoopLogger{}})
}

// Posted is what a client is told.
type Posted struct {
	ID   string // of the activity
	Body []byte // the activity as it went out

	Owners []inbox.Owner // who has got it here
}

// Submit takes what a local person posted with one of their devices, called by any
// text that stays the same, and returns when all of it is durable.
//
// The errors: *StaleError (409), activity.ErrNotMLS (501), ErrMalformed, activity.ErrMalformed and
// inbox.ErrMalformed (400), ErrForbidden and intake.ErrRefused (403), intake.ErrLater, inbox.ErrFull
// and mastodon.ErrAsked (429; nothing was kept), ErrReceiveOnly, ErrNoKey, mastodon.ErrUnavailable
// and inbox.ErrUnavailable (503). The same bytes under the same client-given id are kept once.
func (o *Outbox) Submit(ctx context.Context, from mastodon.Person, device string, body []byte) (Posted, error) {
	sender := Sender{Account: from.Account, Name: from.Name, Actor: from.Actor}
	d, err := o.draft(ctx, sender, body)
	if err != nil {
		return Posted{}, err
	}
	digest := sha256.Sum256(body)
	if len(d.aliases) == 0 {
		return o.submit(ctx, sender, device, d, digest)
	}
	// A client that heard nothing posts again, perhaps while the first is still on its way.
	result, err, _ := o.posting.Do(sender.Account+" "+string(digest[:]), func() (any, error) {
		if again, err := o.again(ctx, sender, d, digest); again.ID != "" || err != nil {
			return again, err
		}
		return o.submit(ctx, sender, device, d, digest)
	})
	posted, _ := result.(Posted)
	return posted, err
}

// submit sends a draft that was not sent before.
func (o *Outbox) submit(ctx context.Context, sender Sender, device string, d *draft, digest [32]byte) (Posted, error) {
	to, err := o.resolve(ctx, d)
	if err != nil {
		return Posted{}, err
	}
	if len(to.remote) > 0 {
		if err := o.maySend(ctx, sender); err != nil {
			return Posted{}, err
		}
	}
	letters, err := o.letters(ctx, sender, d, to)
	if err != nil {
		return Posted{}, err
	}
	s := o.submission(sender, d, to)
	s.Messages, s.Sent.Digest = letters, digest
	if s.Turn != nil {
		s.Turn.Device = device
	}
	return Posted{ID: d.activity.ID, Body: d.activity.Raw, Owners: to.owners}, o.keep(ctx, sender, s)
}

// again finds what the client has posted before, when its answer was lost.
func (o *Outbox) again(ctx context.Context, from Sender, d *draft, digest [32]byte) (Posted, error) {
	for _, alias := range d.aliases {
		sent, err := o.store.Sent(ctx, aliasName(from, alias))
		switch {
		case err == nil && sent.Digest == digest:
			return Posted{ID: o.activityURL(sent.Names[0]), Body: sent.Body, Owners: sent.Owners}, nil
		case err != nil && !errors.Is(err, ErrNotSent):
			return Posted{}, err
		}
	}
	return Posted{}, nil
}

func aliasName(from Sender, id string) string { return from.Account + " " + id }

// maySend says whether the sender's messages can be signed.
func (o *Outbox) maySend(ctx context.Context, from Sender) error {
	if o.courier != nil {
		return nil
	}
	if o.post == nil {
		return ErrReceiveOnly
	}
	_, err := o.post.keys.signer(ctx, from)
	return err
}

// letters are what people here get: the sender's own copy, and what policy makes of
// those for others. Where it turns everybody away, or asks to wait, nothing is sent.
func (o *Outbox) letters(ctx context.Context, from Sender, d *draft, to resolved) ([]inbox.Message, error) {
	mine, others := inbox.Delivery{Signer: from.Actor, Activity: d.activity}, inbox.Delivery{Signer: from.Actor, Activity: d.activity}
	for _, owner := range to.owners {
		if owner == inbox.Owner(from.Account) {
			mine.Owners = append(mine.Owners, owner)
		} else {
			others.Owners = append(others.Owners, owner)
		}
	}
	remote := to.elsewhere()
	sender := intake.Sender{Actor: from.Actor, Account: from.Account, Activity: d.activity.ID}
	if len(d.aliases) > 0 {
		sender.Activity = aliasName(from, d.aliases[0])
	}
	if err := o.intake.MaySend(ctx, sender, d.activity, remote); err != nil {
		return nil, err
	}
	letters, err := o.inbox.Letters(mine)
	if err != nil {
		return nil, err
	}
	ruling, err := o.intake.Judge(ctx, others)
	if err == nil {
		err = ruling.Later
	}
	if err == nil && len(letters)+len(ruling.Messages)+ruling.Dropped+len(remote) == 0 {
		err = ruling.Refused
	}
	for i := range ruling.Messages {
		ruling.Messages[i].Firm = true
	}
	return append(letters, ruling.Messages...), err
}

// submission is everything that must be kept, but for the letters.
func (o *Outbox) submission(from Sender, d *draft, to resolved) Submission {
	s := Submission{Activity: d.activity.ID, Sent: Sent{
		Names: []string{d.id}, Actor: from.Actor, Owners: to.owners, Actors: to.elsewhere(), Body: d.activity.Raw, Each: o.each,
	}}
	for _, alias := range d.aliases {
		s.Sent.Names = append(s.Sent.Names, aliasName(from, alias))
	}
	s.Lesson = lesson(from, d)
	s.Turn, s.Thread = turnOf(from, d, to), o.threadOf(from, d, to)
	after := ""
	if s.Turn == nil {
		after = o.recent.of(from).together(o.clock()).commit
	}
	group, ways := o.lanes.name(from, d.activity, d.given(o))
	for _, one := range o.envelopes(to.remote) {
		one.Lane = laneOf(group, one.Host)
		one.Sent, one.Activity, one.Sender, one.After = d.id, d.activity.ID, from, after
		one.Group, one.Ways, one.Accepted = group, ways, o.clock()
		if o.jitter > 0 {
			one.NotBefore = one.Accepted.Add(rand.N(o.jitter))
		}
		s.Deliveries = append(s.Deliveries, one)
	}
	return s
}

// lesson is what posting shows of the sender: they are in the group, with those they
// write to.
func lesson(from Sender, d *draft) inbox.Lesson {
	l := inbox.Lesson{Owner: inbox.Owner(from.Account), Group: groupOf(d.activity), Context: d.activity.Tag()}
	for _, id := range d.recipients {
		if id != from.Actor {
			l.Members = append(l.Members, id)
		}
	}
	return l
}

// envelopes is one delivery per distinct inbox: the shared one when several of a
// host's recipients share it, else everybody's own. When each gets a copy of their
// own, or the activity does not name them, it goes to their own inbox.
func (o *Outbox) envelopes(list []recipient) []Delivery {
	sharing := map[string]int{}
	for _, r := range list {
		if !r.blind {
			sharing[r.to.shared]++
		}
	}
	var out []Delivery
	at := map[string]int{}
	for _, r := range list {
		target := r.to.inbox
		if r.to.shared != "" && sharing[r.to.shared] > 1 && !r.blind && !o.each {
			target = r.to.shared
		}
		if i, ok := at[target]; ok && target != "" && !o.each {
			out[i].Recipients = append(out[i].Recipients, r.id)
			continue
		}
		at[target] = len(out)
		out = append(out, Delivery{Host: authority.Of(r.id), Inbox: target, Recipients: []string{r.id}})
	}
	return out
}

// keep makes s durable and sets off what it causes.
func (o *Outbox) keep(ctx context.Context, from Sender, s Submission) error {
	if len(s.Deliveries) > 0 {
		o.remember(s.Sent.Names[0], s.Sent)
	}
	places := make([]laneHost, 0, len(s.Deliveries))
	for i := range s.Deliveries {
		places = append(places, laneHost{s.Deliveries[i].Lane, s.Deliveries[i].Host, s.Deliveries[i].Sender.Account})
	}
	o.queue.reserve(places)
	receipt, err := o.store.Submit(context.WithoutCancel(ctx), s) // cut short, nobody would know what was kept
	if err == nil {
		o.inbox.Learned(s.Lesson)
	}
	if err == nil && receipt.Lost != nil {
		err = o.stale(ctx, from, receipt.Lost)
	}
	if err == nil {
		for _, r := range receipt.Results {
			if errors.Is(r.Err, inbox.ErrFull) {
				err = r.Err
			}
		}
	}
	o.queue.release(places, receipt.First, err)
	if err != nil {
		return fmt.Errorf("keep what was posted: %w", err)
	}
	o.inbox.Kept(s.Messages, receipt.Results)
	o.recent.note(from, s, receipt)
	return nil
}
