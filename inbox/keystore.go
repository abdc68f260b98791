package inbox

import (
	"context"
	"time"
)

// KeyStore keeps the key directory. inboxtest.RunKeys holds every implementation
// to this contract:
//
// Serial. Changes of one owner happen one after the other, each on the pool the
// last one left. Two never see the same pool and both succeed.
//
// Durable. What ChangePool has answered with nil is on disk, synced, and seen by
// every read that starts afterwards, in this process and, after kill -9 at any
// moment, in the next. A change is kept whole or not at all; no read shows one
// that is not yet durable.
//
// Once. A trace is made once: a change that makes one which is there already is
// ErrReused and changes nothing, until the trace's time is over.
//
// Ignorant. A KeyStore has no rules of its own: what the function given to ChangePool
// leaves in the pool is what is kept. Packages that are no longer in it lose their
// content. It may forget packages a day or more after their NotAfter, and traces
// after their Until.
//
// Owned. A KeyStore keeps no slice it was given, and what it returns belongs to
// the caller. All methods may be called concurrently.
type KeyStore interface {
	// Pool is empty for an owner never heard of. It is one scan over the owner's rows.
	Pool(ctx context.Context, o Owner) (Pool, error)

	// Content gives what was published as the package's content, or ErrNoPackage.
	Content(ctx context.Context, o Owner, id string) ([]byte, error)

	// ChangePool runs f on the owner's pool and keeps what it did. f is fast and pure:
	// it may run several times, of which the last counts, each time on a pool of its
	// own that it may change in place. An error of f is returned
	// as it is and changes nothing. ErrUnavailable, or the context's error, leave open
	// whether the change was kept.
	ChangePool(ctx context.Context, o Owner, f func(*Change) error) error

	// Trace gives what a published package left behind, or ErrNoPackage.
	Trace(ctx context.Context, name string) (Trace, error)

	// History gives up to limit entries of the owner's log after number n, ascending.
	History(ctx context.Context, o Owner, after uint64, limit int) ([]LogEntry, error)
}

// Change is a pool that is being changed, and what must be kept together with it.
type Change struct {
	Pool
	Contents map[string][]byte // of packages new in the pool, by id
	Entries  []LogEntry        // to append to the log; Pool.Log is their end
	Traces   []Trace           // new ones
}

// Trace is what stays of a published package after it has gone, until its
// lifetime is over: whose it was, and that its keys are spent.
type Trace struct {
	Name   string // any bytes; see refTrace and initTrace
	Owner  Owner
	Device string
	Until  time.Time // to the second
}

// refTrace names a package by its KeyPackageRef, whoever owns it.
func refTrace(ref []byte) string { return "ref " + string(ref) }

// initTrace names an init key among those of one person: nobody can spend
// somebody else's.
func initTrace(o Owner, hash [32]byte) string { return "init " + string(hash[:]) + string(o) }
