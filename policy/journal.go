package policy

import (
	"context"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

// Journal keeps what must outlive a restart; package storage is the real one. All
// of it is bounded and expires: verdicts after 8 days, entries after 7, changes
// after a year.
type Journal interface {
	// Verdict is what was decided about a knock before, false when nothing was.
	Verdict(ctx context.Context, k Knock) (Decision, bool, error)
	// Record keeps entries. It replaces ids by hashes under a key that rotates
	// daily and goes with the last entry of its day.
	Record(ctx context.Context, batch []Entry) error
	// Entries calls do for what was logged since, oldest first, until it answers false.
	Entries(ctx context.Context, since time.Time, do func(Entry) bool) error
	// AddChange keeps a change and the bundle that was loaded with it, if any. A long one, at most 32 MiB, is the
	// bundle with more to it: it is kept until another bundle comes.
	AddChange(ctx context.Context, c Change, bundle, long []byte) error
	// Changes is the change log, newest first.
	Changes(ctx context.Context) ([]Change, error)
	// Bundle is what was loaded with a change, the long one while there is one, nil when it is not kept.
	Bundle(ctx context.Context, change string) ([]byte, error)
	// FirstSeen is when a domain was first named here; it is noted at now if never.
	FirstSeen(ctx context.Context, domain string, now time.Time) (time.Time, error)
}

// Knock is what a verdict is sticky for: sixteen redeliveries are one knock.
type Knock struct{ Actor, Activity, Recipient string }

// Entry is one line of the decision log, and the verdict about a knock. As it is
// read again it names the sender's domain and nobody else: the ids in Case are
// hashes, the bytes rounded up to a power of two, Knock is empty.
type Entry struct {
	ID     string         `json:"id"`
	Time   time.Time      `json:"time"`
	Case   rules.Case     `json:"case"`
	Action rules.Action   `json:"action"`
	Rule   string         `json:"rule,omitempty"`
	Mode   string         `json:"mode"`
	Policy string         `json:"policy"` // hash of the policy
	Shadow []rules.Shadow `json:"shadow,omitempty"`

	Knock      Knock         `json:"-"`
	RetryAfter time.Duration `json:"-"` // of the verdict
	Sticky     bool          `json:"-"` // keep it as the verdict about Knock
	Logged     bool          `json:"-"` // keep it in the log
}

// Sentence is what the person who was refused, or asked to wait, was told.
func (e *Entry) Sentence() string {
	return Decision{ID: e.ID, Action: e.Action, Rule: e.Rule, At: e.Case.At, Kind: e.Case.Msg.Kind}.Sentence()
}

// Change is one line of the change log.
type Change struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	Kind   string    `json:"kind,omitempty"`   // "": the policy was to change; Severing: somebody was cut off, or no longer
	Who    string    `json:"who"`              // start, signal, file, command, page, owner
	Policy string    `json:"policy,omitempty"` // hash of what was loaded
	Diff   string    `json:"diff,omitempty"`   // to what was in force before
	Result string    `json:"result"`           // Loaded, or what was wrong; of Severing what was done
}

// Loaded is the Result of a change that is in force since.
const Loaded = "loaded"

// Severing is the Kind of a change of who is cut off.
const Severing = "severing"
