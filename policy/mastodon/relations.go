package mastodon

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/sealgate/sealgate/policy/rules"
)

const (
	relationFresh = 15 * time.Minute // what the instance said about people and domains is not asked for again
	relationRetry = 30 * time.Second // nor what it could not say
	relationWait  = 3 * time.Second  // a message waits so long for an answer
	tiesKept      = 50_000
	remotesKept   = 50_000
	peopleKept    = 5_000
	dueKept       = 1_024
)

// ErrNotKept is what a Shelf answers when it has nothing.
var ErrNotKept = errors.New("mastodon: no answer of the instance is kept")

// Shelf keeps what the instance said, durably and encrypted, for when it says nothing. about is a name
// of ours or a remote actor; account is "" for what is about nobody. Values are at most 512 KiB; an empty
// one takes the row away. Rows may go after 90 days.
type Shelf interface {
	KeepAnswer(ctx context.Context, account, about string, value []byte) error
	KeptAnswer(ctx context.Context, account, about string) ([]byte, error)
}

// RelationsOptions of Relations. Shelf is required.
type RelationsOptions struct {
	Shelf Shelf
	// Login is the instance's token of somebody who signed in here, an error when there is none.
	Login func(ctx context.Context, account string) (string, error)
	// Name is the preferredUsername of a remote actor, "" when it is not known. Without one, the last
	// segment of the actor's id is tried; the instance's answer decides.
	Name func(actor string) string
	// AdminToken is `upstream.admin_token`; "" when there is none.
	AdminToken func() (string, error)
}

// Relations says what the instance knows of its people and others: blocks, mutes, follows, the choices of
// their notification policy, and whom the instance itself blocks. What it said holds for 15 minutes, and
// longer while it cannot be asked, a restart included. It is safe for concurrent use.
type Relations struct {
	*Instance

	options  RelationsOptions
	tokens   *otter.Cache[string, seenToken]    // by account, of clients that are connected
	people   *otter.Cache[string, *own]         // by account
	ties     *otter.Cache[pair, tieAnswer]      // by account and actor
	remotes  *otter.Cache[string, remoteAnswer] // by actor
	domains  atomic.Pointer[domains]            // nil until the first answer
	isUnread bool                               // the domains could not be read last time; refreshDomains' own
	refused  atomic.Int64                       // until when the instance is not asked, Unix nanoseconds
	due      chan string                        // accounts to be asked about
}

// pair is a local person and an actor.
type pair struct{ account, actor string }

// seenToken is a token of the instance, and when it was last shown.
type seenToken struct {
	token string
	at    time.Time
}

// NewRelations makes Relations, which from now on learn tokens as people connect. Run asks in the
// background.
func (i *Instance) NewRelations(o RelationsOptions) *Relations {
	if o.Login == nil {
		o.Login = func(context.Context, string) (string, error) { return "", ErrToken }
	}
	if o.Name == nil {
		o.Name = func(string) string { return "" }
	}
	if o.AdminToken == nil {
		o.AdminToken = func() (string, error) { return "", nil }
	}
	r := &Relations{
		Instance: i, options: o, due: make(chan string, dueKept),
		tokens:  otter.Must(&otter.Options[string, seenToken]{MaximumSize: tokensKept}),
		people:  otter.Must(&otter.Options[string, *own]{MaximumSize: peopleKept}),
		ties:    otter.Must(&otter.Options[pair, tieAnswer]{MaximumSize: tiesKept}),
		remotes: otter.Must(&otter.Options[string, remoteAnswer]{MaximumSize: remotesKept}),
	}
	met := r.meet
	i.met.Store(&met)
	return r
}

// Relation is what a local person is to an actor, by as much of the instance's knowledge as with says. It
// never fails: unknown is rules.Stranger. It may take a few seconds, the first time in 15 minutes. That
// somebody's request was accepted here it does not know.
func (r *Relations) Relation(ctx context.Context, account, actor string, with rules.Inherit) rules.Rel {
	u, err := url.Parse(actor)
	if err != nil || u.Host == "" || len(actor) > maxTarget {
		return rules.Stranger
	}
	if p, ok := r.localPerson(ctx, account); ok && p.Actor == actor {
		return rules.Self
	}
	f := facts{isLocal: r.local(u), now: r.clock(), host: markOfHost(u.Host), names: []mark{markOf(actor)}}
	if !f.isLocal {
		f.domain = r.domains.Load().of(asciiHost(u.Host))
	}
	if f.domain == suspended && with.DomainBlocks {
		return rules.Blocked // whatever else there is to know
	}
	f.own = r.lists(ctx, account)
	f.tie = r.tie(ctx, account, actor)
	for _, address := range r.addresses(u, actor) {
		f.names = append(f.names, markOf(strings.ToLower(address)))
	}
	return f.relation(with)
}

// localPerson is who has an account here, without asking anybody.
func (r *Relations) localPerson(ctx context.Context, account string) (Person, bool) {
	if a, ok := r.persons.GetIfPresent("#" + account); ok {
		return a.person, a.known()
	}
	if r.register == nil {
		return Person{}, false
	}
	p, err := r.register.Recall(ctx, "#"+account)
	return p, err == nil
}

// meet learns that somebody showed a token, and has the instance asked about them when that is due.
func (r *Relations) meet(c Caller, token string) {
	mayAsk := slices.ContainsFunc(c.Scopes, func(s string) bool { return s == "read" || s == "read:follows" })
	if !mayAsk && !c.ScopesUnknown {
		return
	}
	now := r.clock()
	r.tokens.Set(c.Account, seenToken{token, now})
	if known, ok := r.people.GetIfPresent(c.Account); ok && now.Before(known.until) {
		return
	}
	select {
	case r.due <- c.Account:
	default: // too many at once: they come again
	}
}

// token is one with which the instance tells of a person: of a client that is connected, or of whoever
// signed in here.
func (r *Relations) token(ctx context.Context, account string) (string, error) {
	if seen, ok := r.tokens.GetIfPresent(account); ok {
		if r.clock().Sub(seen.at) < relationFresh {
			return seen.token, nil
		}
		r.tokens.Invalidate(account)
	}
	return r.options.Login(ctx, account)
}

// Run asks about people who connect, and every 15 minutes which domains the instance blocks, until ctx
// ends.
func (r *Relations) Run(ctx context.Context) error {
	var domains sync.WaitGroup
	domains.Go(func() { r.followDomains(ctx) })
	defer domains.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case account := <-r.due:
			r.refreshPerson(ctx, account)
		}
	}
}

func (r *Relations) followDomains(ctx context.Context) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			next.Reset(r.refreshDomains(ctx))
		}
	}
}

// isRefused says whether the instance was away a moment ago: whoever comes then does not wait for it.
func (r *Relations) isRefused() bool { return r.clock().UnixNano() < r.refused.Load() }

// noteAway remembers that the instance could not be asked.
func (r *Relations) noteAway(err error) {
	if errors.Is(err, ErrUnavailable) {
		r.refused.Store(r.clock().Add(relationRetry).UnixNano())
	}
}

// keep puts an answer on the shelf.
func (r *Relations) keep(ctx context.Context, account, about string, value []byte) {
	if err := r.options.Shelf.KeepAnswer(context.WithoutCancel(ctx), account, about, value); err != nil {
		r.log.Warn("an answer of the instance could not be kept", "error", err)
	}
}

// kept is an answer from the shelf, nil when there is none.
func (r *Relations) kept(ctx context.Context, account, about string) []byte {
	value, err := r.options.Shelf.KeptAnswer(ctx, account, about)
	if err != nil && !errors.Is(err, ErrNotKept) {
		r.log.Warn("an answer of the instance could not be read back", "error", err)
	}
	return value
}

// logRefusal says at debug what a person's token could not ask.
func (r *Relations) logRefusal(what string, err error) {
	r.log.Debug("the instance does not tell about a person", "what", what, "error", err)
}
