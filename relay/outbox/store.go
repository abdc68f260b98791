package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// ErrNotSent means that nothing was sent under that name.
var ErrNotSent = errors.New("outbox: no such sent activity")

// Store keeps what was sent and what must still be delivered.
//
// Durable. What Submit and Settle have answered with nil is on disk, synced, and
// is there after kill -9 at any moment. A submission is kept whole or not at all.
//
// Ordered. Deliveries of one lane have growing Seq in the order their submissions
// were kept, and in the order of the slice within one. A Seq is never used again.
//
// Owned. A Store keeps no slice it was given, and what it returns belongs to the
// caller. All methods may be called concurrently.
type Store interface {
	// Submit keeps s. When a local recipient's mailbox is full nothing is kept and
	// that Result is inbox.ErrFull; nor when its Turn comes too late, which
	// Receipt.Lost then says; the Lesson is learned all the same, and before anything is
	// kept, so that the sender's own copy goes behind what it lets go. A submission too large for one transaction of the
	// engine is kept in several, what is queued last, and nothing comes in between.
	Submit(ctx context.Context, s Submission) (Receipt, error)

	// Pending gives up to limit deliveries behind a place, by lane and then Seq.
	Pending(ctx context.Context, behind Place, limit int) ([]Delivery, error)

	// Next gives up to limit deliveries of one lane behind a place.
	Next(ctx context.Context, behind Place, limit int) ([]Delivery, error)

	// Settle forgets what is done and rewrites what changed, if it is still there.
	Settle(ctx context.Context, done []Place, changed []Delivery) error

	// Sent gives what was sent under one of its names, or ErrNotSent. It is kept as
	// long as a message in a mailbox, and no less than inbox.Remembered.
	Sent(ctx context.Context, name string) (Sent, error)

	Order
}

// Order is what a Store knows of groups and conversations, noted with Submit and with
// what arrives.
type Order interface {
	// ThreadID is the id of the conversation of an MLS group: always the same,
	// and nobody else can tell it.
	ThreadID(group []byte) string

	// Thread gives up to limit lines of a conversation behind one, as a reader
	// (inbox.LocalReader, or an actor id) sees it: what they have sent or got, in
	// the order of acceptance. Lines are kept as long as what was sent.
	Thread(ctx context.Context, id, reader string, behind uint64, limit int) ([]inbox.Line, error)

	// ThreadSize is how many lines a reader sees.
	ThreadSize(ctx context.Context, id, reader string) (int, error)

	// Joined tells of the groups that a person's devices have sent in, or
	// inbox.ErrNotFound. It is noted with Submit and kept for a year.
	Joined(ctx context.Context, o inbox.Owner, group []byte) (inbox.Membership, error)
}

// Submission is one activity with everything it causes here.
type Submission struct {
	Sent       Sent
	Messages   []inbox.Message // for local recipients
	Deliveries []Delivery      // for others; their Seq is the Store's to give
	Lesson     inbox.Lesson    // what sending it shows

	Turn   *Turn  // nil: no message shows a group
	Thread Thread // the conversation, and who else reads it: those who get Messages do

	Activity string // its id, for Thread
}

// Thread is a conversation that a submission belongs to. ID "": none.
type Thread struct {
	ID      string
	Readers []string
}

// Receipt is what became of a submission: one Result per message, and the Seq of
// the first delivery; or what it lost against.
type Receipt struct {
	Results []inbox.Result
	First   uint64
	Lost    *Lost
}

// Lane is a queue that is delivered strictly in order: one group at one host.
type Lane [16]byte

// Place is where a delivery stands.
type Place struct {
	Lane Lane
	Seq  uint64
}

// Delivery is one POST that must be made.
type Delivery struct {
	Place      `json:"-"`
	Sent       string    // Names[0] of the activity
	Activity   string    // its id
	Sender     Sender    // who signs
	Host       string    // of the recipients' ids, lower case
	Group      string    // what the lane stands for; see laneNames
	Ways       []string  // what leads to that lane
	Inbox      string    // "" until an actor document could be read
	Recipients []string  // actor ids
	Accepted   time.Time // when the sender was told 201
	Warned     bool      // the sender knows that it takes long
	NotBefore  time.Time `json:",omitzero"` // zero: at once
	After      string    // a commit (Names[0] of its Sent) that is not to be overtaken, for a while
}

// Sender is a local person.
type Sender struct{ Account, Name, Actor string }

// Sent is an activity as it went out.
type Sent struct {
	Names  []string // by which it is found; the first is its own
	Actor  string   // the sender's id
	Owners []inbox.Owner
	Actors []string // recipients elsewhere
	Each   bool     `json:",omitempty"` // of them is to see no other
	Digest [32]byte // of what the client posted
	Body   []byte   `json:"-"`
}
