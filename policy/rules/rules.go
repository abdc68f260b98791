// Package rules is the policy file: what an operator says about who may reach
// their people. It parses, checks, tests and decides.
//
// It is pure: no file, no clock, no network. It sees envelopes only (who, to
// whom, how much, which MLS framing), and it loads no rule that could lose a
// message of a group somebody has joined: dropping one commit breaks the epoch
// ratchet for everyone in the group.
package rules

import (
	"time"

	"github.com/sealgate/sealgate/policy/ratelimit"
)

// Stage is where a message is in the life of a group.
type Stage string

// The stages.
const (
	// Contact: a Welcome, a key fetch, and anything else for a group the recipient
	// has not joined, or from a sender never seen in it.
	Contact Stage = "contact"
	// Group: messages for a group the recipient joined, from a sender seen in it.
	Group Stage = "group"
	// Send: what local people send.
	Send Stage = "send"
)

// Action is what a rule does.
type Action string

// The actions. Which stage allows which is in Allowed.
const (
	Allow      Action = "allow"       // delivered
	Hold       Action = "hold"        // a message request: kept in order until its owner accepts or drops it
	Ignore     Action = "ignore"      // 202 and dropped (404 to a key fetch)
	Refuse     Action = "refuse"      // 403 with the decision's id and rule
	RetryLater Action = "retry-later" // 429 with Retry-After
	LastResort Action = "last-resort" // a key fetch gets the reusable package only
	Hide       Action = "hide"        // delivered with a label
	Slow       Action = "slow"        // the whole (recipient, group) queue is released later, in order
)

// Rel is what the local person is to the remote one.
type Rel string

// The relations. Unknown is Stranger.
const (
	Self      Rel = "self"
	Mutual    Rel = "mutual"
	Following Rel = "following" // the local person follows the remote one
	Follower  Rel = "follower"  // the remote person follows the local one
	Approved  Rel = "approved"  // accepted before: a request, or the notification policy
	Stranger  Rel = "stranger"
	Limited   Rel = "limited" // their server is silenced here
	Muted     Rel = "muted"
	Blocked   Rel = "blocked" // by the person, or their server by the instance
)

// The kinds of Msg.Kind: those of package inbox/mls, and a key fetch.
const (
	KindWelcome     = "welcome"
	KindCommit      = "commit"
	KindProposal    = "proposal"
	KindApplication = "application"
	KindGroupInfo   = "group_info"
	KindKeyPackage  = "key_package"
	KindKeyFetch    = "key_fetch"
)

// Case is everything a rule may look at.
type Case struct {
	At        Stage
	Actor     Actor
	Rel       Rel
	Msg       Msg
	Group     GroupState
	Server    Server
	Recipient string // the local person's account; at Send the remote actor
}

// Actor is who acts: the verified signer, at Send the local person. A key fetch
// nobody signed has none.
type Actor struct {
	ID            string
	Domain        string
	FirstSeenDays int // since anything verified came from Domain
}

// Msg is what an envelope shows.
type Msg struct {
	Kind       string // one of the Kind constants
	Bytes      int
	Recipients int  // whom it names, on every host
	Hosts      int  // on how many hosts they are
	KeyIsOurs  bool // a Welcome to a package that was published here
}

// GroupState is what is known about the group of a message.
type GroupState struct {
	ID     string // as bytes; "" in a Welcome and a key fetch
	Joined bool
}

// Server is how the gateway itself is doing, each from 0 to 1.
type Server struct {
	Load float64
	Disk float64
}

// Verdict is what a policy says about a Case.
type Verdict struct {
	Action     Action
	Rule       string         // "" when no rule matched
	RetryAfter time.Duration  // exact, of the rule's limit; 0 without one
	Limit      ratelimit.Rate // of the rule; zero without one
	Shadow     []Shadow       // rules in mode shadow that matched before, in order
	Failed     []Failure      // rules whose condition could not be evaluated
}

// Failure is a condition that could not be evaluated.
type Failure struct {
	Rule string
	Err  error
}

// Shadow is what a rule in mode shadow would have done.
type Shadow struct {
	Rule   string `json:"rule"`
	Action Action `json:"action"`
}
