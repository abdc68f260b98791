package policy

import (
	"context"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

// Sticky is the key of a verdict: a keyed hash of (verified actor, activity,
// recipient).
type Sticky [16]byte

// Entry is one line of the decision log. It names the sender's domain and nobody
// else: Actor, Recipient and Group are hashes under a key that rotates daily and
// is destroyed with the last entry of its day.
type Entry struct {
	ID     string         `json:"id"`
	Time   time.Time      `json:"time"`
	Case   rules.Case     `json:"case"` // ids hashed, bytes rounded up to a power of two
	Action rules.Action   `json:"action"`
	Rule   string         `json:"rule,omitempty"`
	Mode   string         `json:"mode"`
	Policy string         `json:"policy"` // hash of the policy
	Shadow []rules.Shadow `json:"shadow,omitempty"`
}

// Change is one line of the change log.
type Change struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	Who    string    `json:"who"`    // start, file, signal, command, page
	Policy string    `json:"policy"` // hash of what was loaded or refused
	Diff   string    `json:"diff,omitempty"`
	Result string    `json:"result"` // "loaded", or what was wrong
}

// Journal keeps what must outlive a restart; package storage is the real one. All
// of it is bounded and expires: verdicts after 8 days, entries after 7, changes
// after a year.
type Journal interface {
	// Verdict is the decision under a key, false when there is none.
	Verdict(ctx context.Context, key Sticky) (Decision, bool, error)
	// Record keeps entries and the verdicts under their keys; a zero key is none.
	Record(ctx context.Context, batch []Recorded) error
	// Entries calls do for what was logged since, oldest first, until it answers false.
	Entries(ctx context.Context, since time.Time, do func(Entry) bool) error
	// Note keeps a change and the text that was loaded with it.
	Note(ctx context.Context, c Change, text []byte) error
	// Changes is the change log, newest first.
	Changes(ctx context.Context) ([]Change, error)
	// Text is what was loaded with a change.
	Text(ctx context.Context, change string) ([]byte, error)
}

// Recorded is an entry and the key its verdict is kept under.
type Recorded struct {
	Key   Sticky
	Entry Entry
}
