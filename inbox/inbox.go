// Package inbox accepts encrypted messages into local people's mailboxes and reads them back.
//
// It decides whether an activity may be kept (signer, actor and author are one; the MLS framing is
// strict RFC 9420) and declares what a store must do. It never decrypts, never re-encodes an activity,
// and knows neither HTTP nor a database.
//
// Specification: "MLS over ActivityPub" (draft of 28 July 2026), RFC 9420 §6.
package inbox

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/metric"
)

// What can be wrong with a delivery, or with keeping it.
var (
	// ErrDuplicate is a Result: this (owner, actor, activity id) was accepted before.
	ErrDuplicate = errors.New("inbox: message was accepted before")
	// ErrFull is a Result: the owner's mailbox.quota is used up.
	ErrFull = errors.New("inbox: mailbox is full (mailbox.quota)")
	// ErrNotFound means that nothing is kept under that id.
	ErrNotFound = errors.New("inbox: no such message")
	// ErrUnavailable means that the store cannot write now. The peer should come back.
	ErrUnavailable = errors.New("inbox: messages cannot be kept now")
	// ErrForbidden means that signer, actor and author are not one.
	ErrForbidden = errors.New("inbox: signer, actor and author differ")
	// ErrMalformed means that the bytes are not the MLS message they claim to be.
	ErrMalformed = errors.New("inbox: malformed MLS message")
)

// Owner is the upstream's account id of a local person, or the lower-case
// username where the software has none.
type Owner string

// Position is a message's place in its owner's mailbox: 1, 2, 3 and so on
// without holes, in the order of acceptance, never used twice. 0 is before the
// first.
type Position uint64

// Message is one activity for one owner.
type Message struct {
	Owner      Owner
	Actor      string // whose signature was verified
	ActivityID string // never empty
	Kind       string // of the first MLS object: welcome, commit, proposal, application, group_info, key_package; "" without bytes
	Group      []byte // MLS group id of the first commit, else of the first object whose framing shows one
	Epoch      uint64
	Received   time.Time // to the nanosecond, kept as UTC
	Hidden     bool      // policy asks clients not to show it; they process it all the same
	Activity   []byte    // as it came

	Context string    // what the sender calls the conversation; not kept with the message
	Fate    Fate      // what policy says; not kept
	Until   time.Time // with Slow: when the group's queue is let go; not kept
	Firm    bool      // its sender cannot be asked to come again for this owner alone: a request without room gives way; not kept

	// What follows tells Append what else to note; it is not read back.
	Commit       bool   // one of the objects is a commit
	Conversation string // the id of a conversation kept here that the activity belongs to, "" for none
}

// Fate is what policy says about a message that is to be kept. Only messages with a
// Fate can wait.
type Fate string

// The fates of messages.
const (
	Kept  Fate = ""      // put into the mailbox without any question: no policy, or the person's own copy
	Admit Fate = "admit" // allowed: a stranger's fills the allowance, what follows a request waits in it
	Await Fate = "await" // as Admit, but a Welcome waits as a message request
	Slow  Fate = "slow"  // as Admit, but in a joined group all messages wait until Until
)

// Entry is a kept message. Its bytes belong to whoever asked for it.
type Entry struct {
	Position Position
	Message
}

// Result is what became of one message: kept at Position (Err nil), kept before
// at Position (ErrDuplicate), or not kept (ErrFull). What waits, or was not wanted, has
// Position 0, also when it comes again.
type Result struct {
	Position Position
	Err      error

	Waits   bool   // durably kept, but not yet in the mailbox
	Request string // the message request that this message opened: Waiting.ID

	Expired, Evicted, Overflown int // message requests that went to make room for it, or had none for it
}

// Delivered tells whether the message is in the mailbox, now or since before.
func (r Result) Delivered() bool { return r.Position > 0 }

// Usage is what an owner's mailbox holds now. Bytes counts the activities, as
// the quota does. First is the oldest position kept, 0 when none is; Last is the
// newest ever given, also after its message expired.
type Usage struct {
	Total       int
	Bytes       int64
	First, Last Position
}

// Options of an Inbox. Store is required.
type Options struct {
	Store   Store
	Threads string // what the ids of conversations kept here begin with; empty: none are kept
	Clock   func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Inbox accepts and reads messages. It is safe for concurrent use.
type Inbox struct {
	store     Store
	threads   string
	clock     func() time.Time
	log       *slog.Logger
	messages  *prometheus.CounterVec
	requests  *prometheus.CounterVec // by event
	hub       hub
	keeper    Keeper // nil: the store is none
	books     Books  // nil: the store is none
	marks     marks
	severed   atomic.Pointer[[]Severed]
	severing  sync.Mutex
	poke      chan struct{} // something is to be let go
	onRelease func(context.Context, Owner, []Message) error
	onSever   func(ctx context.Context, s Severed, undone bool)
}

// New returns an Inbox over o.Store.
func New(o Options) *Inbox {
	if o.Store == nil {
		panic("bug: inbox.New without a Store")
	}
	in := &Inbox{
		store: o.Store, threads: o.Threads, clock: o.Clock, log: o.Log, poke: make(chan struct{}, 1),
		messages: metric.Counter(o.Metrics, "sealgate_mls_messages_total",
			"MLS messages by direction and kind, one per mailbox; duplicates are not counted again.", "direction", "kind"),
		requests: metric.Counter(o.Metrics, "sealgate_message_requests_total",
			"Message requests by what became of them: opened, accepted, dropped, expired, evicted, overflown.", "event"),
	}
	in.keeper, _ = o.Store.(Keeper)
	in.books, _ = o.Store.(Books)
	in.marks.seed = maphash.MakeSeed()
	if in.clock == nil {
		in.clock = time.Now
	}
	if in.log == nil {
		in.log = slog.New(slog.DiscardHandler)
	}
	return in
}

// After is Store.After.
func (in *Inbox) After(ctx context.Context, o Owner, p Position, limit int) ([]Entry, error) {
	return in.store.After(ctx, o, p, limit)
}

// Find is Store.Find.
func (in *Inbox) Find(ctx context.Context, o Owner, activityID string) (Position, error) {
	return in.store.Find(ctx, o, activityID)
}

// Usage is Store.Usage.
func (in *Inbox) Usage(ctx context.Context, o Owner) (Usage, error) {
	return in.store.Usage(ctx, o)
}
