package policy

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/idna"

	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/policy/turn"
)

// Question is what an envelope shows. The Gate adds what it finds out itself: the
// relation, how long the domain is known, how the server is doing.
type Question struct {
	At       rules.Stage
	Actor    string // who acts: the verified signer, at rules.Send the local person's actor id; "" when nobody signed
	Account  string // the local person's account
	Remote   string // at rules.Send whom they write to; else not used
	Activity string // what the verdict is sticky for: its id with what came under it, or the latter alone; "" for a key fetch
	Msg      rules.Msg
	Group    rules.GroupState
}

// Decision is the answer to a Question.
type Decision struct {
	ID         string // for the log, the refused and `sealgate policy explain`
	Action     rules.Action
	Rule       string         // "" when no rule matched
	RetryAfter time.Duration  // exact, before any jitter; 0 without a limit
	Limit      ratelimit.Rate // of the rule; zero without one, and when Again
	Again      bool           // decided before: the same activity came once more

	At   rules.Stage // of the Question
	Kind string      // likewise
}

// Relations says what a local person is to a remote actor, as far as the policy
// inherits it. It answers from what it remembers, or within some seconds: unknown
// is rules.Stranger. It never answers rules.Approved.
type Relations interface {
	Relation(ctx context.Context, account, actor string, with rules.Inherit) rules.Rel
}

// Approvals says whether a local person has accepted something of an actor's.
type Approvals interface {
	Approved(ctx context.Context, account, actor string) bool
}

// Sentence is what the person who was refused, or asked to wait, is told.
func (d Decision) Sentence() string {
	switch d.Action {
	case rules.Refuse:
		return fmt.Sprintf("This server does not %s: its rule %q refuses it. If that is a mistake, tell its administrators the decision %s.", d.asked(), d.Rule, d.ID)
	case rules.RetryLater:
		return fmt.Sprintf("This is more than this server takes at once: its rule %q asks to wait. Nothing of it was taken; ask again later, as servers do by themselves. The decision is %s.", d.Rule, d.ID)
	}
	return ""
}

// asked is what the server was asked to do.
func (d Decision) asked() string {
	switch {
	case d.At == rules.Send:
		return "send this message"
	case d.Kind == rules.KindKeyFetch:
		return "give out these keys"
	}
	return "accept this invitation"
}

// Decide says what happens to a message or a key fetch. It never fails: what
// cannot be evaluated does not match. The same knock gets the same answer for 8
// days, but for rules.RetryLater.
func (g *Gate) Decide(ctx context.Context, q Question) Decision {
	k := Knock{Actor: q.Actor, Activity: q.Activity, Recipient: q.Account}
	if q.At == rules.Send {
		k.Recipient = q.Remote
	}
	if q.Activity == "" {
		return g.decide(ctx, q, k)
	}
	lock := &g.knocks[g.seen.OfAll(k.Actor, k.Activity, k.Recipient)%knockLocks]
	if !lock.TryLock() {
		turn.GiveUp(ctx)
		lock.Lock()
	}
	defer lock.Unlock()
	if d, ok := g.ledger.verdict(ctx, k); ok {
		d.Again, d.At, d.Kind = true, q.At, q.Msg.Kind
		return d
	}
	return g.decide(ctx, q, k)
}

// decide asks the policy in force.
func (g *Gate) decide(ctx context.Context, q Question, k Knock) Decision {
	now, p := g.clock(), g.policy()
	c := g.caseOf(ctx, q, p)
	v := p.Decide(c, now)
	d := Decision{ID: newDecisionID(now), Action: v.Action, Rule: v.Rule, RetryAfter: v.RetryAfter, Limit: v.Limit, At: q.At, Kind: q.Msg.Kind}
	g.count(c.At, v)
	g.ledger.add(Entry{
		ID: d.ID, Time: now, Case: *c, Action: v.Action, Rule: v.Rule, Mode: p.Mode(), Policy: p.Hash(), Shadow: v.Shadow,
		Knock: k, RetryAfter: v.RetryAfter, Sticky: q.Activity != "" && v.Action != rules.RetryLater,
	}, d)
	return d
}

func (g *Gate) policy() *rules.Policy {
	if g.book == nil {
		return nil
	}
	return g.book.Current()
}

// caseOf adds to a question what the Gate knows.
func (g *Gate) caseOf(ctx context.Context, q Question, p *rules.Policy) *rules.Case {
	c := &rules.Case{At: q.At, Msg: q.Msg, Group: q.Group, Recipient: q.Account, Server: g.server()}
	c.Actor = rules.Actor{ID: q.Actor, Domain: domainOf(q.Actor)}
	remote := q.Actor
	if q.At == rules.Send {
		remote, c.Recipient = q.Remote, q.Remote
	} else {
		c.Actor.FirstSeenDays = g.known(ctx, c.Actor.Domain)
	}
	c.Rel = g.relation(ctx, q, remote, p.Inherit())
	return c
}

// relation is what the local person is to remote. What they accepted before counts
// over what their notification policy says about strangers, never over a block.
func (g *Gate) relation(ctx context.Context, q Question, remote string, with rules.Inherit) rules.Rel {
	if remote == "" {
		return rules.Stranger
	}
	approved := g.approvals != nil && g.approvals.Approved(ctx, q.Account, remote)
	with.NotificationPolicy = with.NotificationPolicy && q.At == rules.Contact && !approved
	rel := rules.Stranger
	if g.relations != nil {
		rel = g.relations.Relation(ctx, q.Account, remote, with)
	}
	if approved && (rel == rules.Stranger || rel == rules.Limited || rel == rules.Follower) {
		return rules.Approved
	}
	return rel
}

// known is for how many days a domain is known here.
func (g *Gate) known(ctx context.Context, domain string) int {
	if domain == "" || g.ledger.journal == nil {
		return 0
	}
	now := g.clock()
	first, ok := g.domains.GetIfPresent(domain)
	if !ok {
		var err error
		if first, err = g.ledger.journal.FirstSeen(ctx, domain, now); err != nil {
			g.log.Debug("first sight of a domain is not readable: it counts as new", "error", err)
			return 0
		}
		g.domains.Set(domain, first)
	}
	return int(max(now.Sub(first), 0) / (24 * time.Hour))
}

// domainOf is the host in an actor's id as the lists have it: lower case, Punycode,
// without a port or a dot at its end.
func domainOf(actor string) string {
	u, err := url.Parse(actor)
	if err != nil {
		return ""
	}
	host := strings.TrimSuffix(u.Hostname(), ".")
	if name, err := idna.Lookup.ToASCII(host); err == nil {
		return name
	}
	return strings.ToLower(host)
}

// decisionAlphabet has no letters that are mistaken for others.
const decisionAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// newDecisionID has 16 letters and digits: the time in microseconds, then chance.
// Ids sort by time.
func newDecisionID(now time.Time) string {
	var tail [3]byte
	_, _ = rand.Read(tail[:]) // it never fails
	return decisionID(now, tail)
}

// FirstDecisionID sorts before all ids made at t and later.
func FirstDecisionID(t time.Time) string { return decisionID(t, [3]byte{}) }

// timeOfDecision is when an id was made, false when it is none.
func timeOfDecision(id string) (time.Time, bool) {
	b, err := decisionEncoding().DecodeString(id)
	if err != nil || len(b) != 10 {
		return time.Time{}, false
	}
	return time.UnixMicro(int64(binary.BigEndian.Uint64(append([]byte{0}, b[:7]...)))), true
}

func decisionEncoding() *base32.Encoding { return base32.NewEncoding(decisionAlphabet) }

func decisionID(t time.Time, tail [3]byte) string {
	var b [11]byte
	binary.BigEndian.PutUint64(b[:8], uint64(max(t.UnixMicro(), 0)))
	copy(b[8:], tail[:])
	return decisionEncoding().EncodeToString(b[1:])
}
