package inbox

import (
	"cmp"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/sealgate/sealgate/authority"
)

const (
	maxGroups    = 1024 // of one person; those not joined and unused for longest go first
	maxSenders   = 1024 // of one group that are known, and their hosts; the first seen go first
	groupLife    = 400 * 24 * time.Hour
	contextLife  = 60 * 24 * time.Hour
	senderLife   = 60 * 24 * time.Hour
	refreshAfter = 7 * 24 * time.Hour // how exactly it is known when a group was last used
)

// How surely a person is in a group.
const (
	notJoined   = iota
	joinedByTag // a message named the conversation of a Welcome that was delivered
	joined      // their own device sends in it, or they accepted a request
)

// membership is what is known of a person in an MLS group.
type membership struct {
	Name    []byte    `json:"n"` // of its row: a hash of the group id
	Joined  int       `json:"j,omitempty"`
	Used    time.Time `json:"u"`
	Senders []byte    `json:"s,omitempty"` // marks of those whose messages were delivered in it
	Waits   string    `json:"w,omitempty"` // what its messages wait behind: Waiting.ID

	isNew bool // there is no row yet
}

const markSize = 8

// mark stands for an actor in a membership: who has somebody else's needs a second
// preimage, and gains a message that does not wait.
func mark(actor string) string {
	sum := sha256.Sum256([]byte(actor))
	return string(sum[:markSize])
}

func (g *membership) has(actor string) bool { return marked(g.Senders, mark(actor)) }

// hasHost tells whether somebody of the host was met.
func (g *membership) hasHost(host string) bool { return marked(g.Senders, mark("host "+host)) }

func marked(marks []byte, m string) bool {
	for at := 0; at+markSize <= len(marks); at += markSize {
		if string(marks[at:at+markSize]) == m {
			return true
		}
	}
	return false
}

// meet notes an actor and tells whether they are new.
func (g *membership) meet(actor string) bool {
	if g.has(actor) {
		return false
	}
	g.Senders = append(g.Senders, mark(actor)...)
	if host := authority.Of(actor); !g.hasHost(host) {
		g.Senders = append(g.Senders, mark("host "+host)...)
	}
	g.Senders = g.Senders[max(0, len(g.Senders)-maxSenders*markSize):]
	return true
}

// conversation is what a Welcome's context leads to.
type conversation struct {
	Waits string    `json:"w,omitempty"` // the request that holds the Welcome; "": delivered
	Used  time.Time `json:"u"`
}

// acquaintance is what a person has had from one actor.
type acquaintance struct {
	Approved bool  `json:"a,omitempty"` // the person accepted a request of theirs
	Invited  bool  `json:"i,omitempty"` // a Welcome of theirs was delivered
	Messages int   `json:"m,omitempty"` // delivered where they were unknown
	Bytes    int64 `json:"b,omitempty"`
}

func (a *acquaintance) life() time.Duration {
	if a.Approved {
		return 0
	}
	return senderLife
}

// tally sums up what a person has waiting, and their groups.
type tally struct {
	Groups   int       `json:"g,omitempty"`
	Requests int       `json:"r,omitempty"`
	Bytes    int64     `json:"b,omitempty"` // of requests
	Ends     time.Time `json:"e,omitzero"`  // when the first request expires, at the earliest
}

// groupName makes a peer's group id short.
func groupName(group []byte) string {
	sum := sha256.Sum256(group)
	return string(sum[:16])
}

func groupRowOf(o Owner, name string) Row { return Row{Kind: groupRow, Owner: o, Name: name} }

// keepGroup writes a membership; one more than maxGroups drives out others.
func keepGroup(l Ledger, o Owner, g *membership) error {
	if g.isNew {
		if err := countGroup(l, o); err != nil {
			return err
		}
		g.isNew = false
	}
	return write(l, groupRowOf(o, string(g.Name)), g, groupLife)
}

func countGroup(l Ledger, o Owner) error {
	var sums tally
	row := Row{Kind: tallyRow, Owner: o}
	if _, err := read(l, row, &sums); err != nil {
		return err
	}
	if sums.Groups++; sums.Groups > maxGroups {
		left, err := forgetGroups(l, o)
		if err != nil {
			return err
		}
		sums.Groups = left + 1
	}
	return write(l, row, &sums, 0)
}

// forgetGroups removes an eighth of a person's groups. A group that is forgotten is
// one not joined: its messages come as a stranger's do, and are not lost.
func forgetGroups(l Ledger, o Owner) (left int, err error) {
	all, err := readAll[membership](l, groupRow, o)
	if err != nil {
		return 0, err
	}
	slices.SortFunc(all, func(a, b membership) int {
		return cmp.Or(cmp.Compare(a.Joined, b.Joined), a.Used.Compare(b.Used))
	})
	left = min(len(all), maxGroups*7/8)
	for _, g := range all[:len(all)-left] {
		if err := l.SetRow(groupRowOf(o, string(g.Name)), nil, 0); err != nil {
			return 0, err
		}
	}
	return left, nil
}

// readGroup gives what is known of a group, new when that is nothing.
func readGroup(l Ledger, o Owner, group []byte) (*membership, error) {
	name := groupName(group)
	g := &membership{}
	known, err := read(l, groupRowOf(o, name), g)
	g.Name, g.isNew = []byte(name), !known
	return g, err
}
