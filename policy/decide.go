package policy

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"net/url"
	"strings"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

// Question is what an envelope shows. The Gate adds what it finds out itself: the
// relation, how long the domain is known, how the server is doing.
type Question struct {
	At       rules.Stage
	Actor    string // who acts: the verified signer, at rules.Send the local person's actor id; "" when nobody signed
	Account  string // the local person's account
	Remote   string // at rules.Send whom they write to; else not used
	Activity string // its id, with which the verdict is sticky; "" for a key fetch
	Msg      rules.Msg
	Group    rules.GroupState
}

// Decision is the answer to a Question.
type Decision struct {
	ID         string // for the log, the refused and `sealgate policy explain`
	Action     rules.Action
	Rule       string        // "" when no rule matched
	RetryAfter time.Duration // exact, before any jitter; 0 without a limit
	Again      bool          // decided before: the same activity came once more
}

// Relations says what a local person is to a remote actor. It answers at once
// from what it remembers: unknown is rules.Stranger.
type Relations interface {
	Relation(ctx context.Context, account, actor string) rules.Rel
}

// Decide never fails: what cannot be evaluated does not match.
func (g *Gate) Decide(ctx context.Context, q Question) Decision {
	now := g.clock()
	v := g.rules.Load().Decide(g.caseOf(ctx, q), now)
	return Decision{ID: newDecisionID(now), Action: v.Action, Rule: v.Rule, RetryAfter: v.RetryAfter}
}

// caseOf adds to a question what the Gate knows.
func (g *Gate) caseOf(ctx context.Context, q Question) *rules.Case {
	c := &rules.Case{At: q.At, Rel: rules.Stranger, Msg: q.Msg, Group: q.Group, Recipient: q.Account}
	c.Actor = rules.Actor{ID: q.Actor, Domain: domainOf(q.Actor)}
	remote := q.Actor
	if q.At == rules.Send {
		remote, c.Recipient = q.Remote, q.Remote
	}
	if g.relations != nil && remote != "" {
		c.Rel = g.relations.Relation(ctx, q.Account, remote)
	}
	return c
}

// domainOf is the lower-case host in an actor's id, without a port.
func domainOf(actor string) string {
	u, err := url.Parse(actor)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// decisionAlphabet writes ids of 16 letters and digits: the time in seconds, then chance.
const decisionAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// newDecisionID sorts by time.
func newDecisionID(now time.Time) string {
	var b [10]byte
	binary.BigEndian.PutUint32(b[:4], uint32(now.Unix()))
	_, _ = rand.Read(b[4:]) // it never fails
	return base32.NewEncoding(decisionAlphabet).EncodeToString(b[:])
}
