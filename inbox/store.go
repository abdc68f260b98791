package inbox

import (
	"context"
	"time"
)

// Remembered is how long at least a Store knows an activity again, also after
// the message itself is gone.
const Remembered = 8 * 24 * time.Hour

// Store keeps mailboxes. inboxtest.Run holds every implementation to this contract:
//
// Durable. What Append has answered with a nil error is on disk, synced, and seen
// by every read that starts afterwards, in this process and, after kill -9 at any
// moment, in the next. A message is kept whole or not at all.
//
// Ordered. An owner's positions are 1, 2, 3 and so on. A read never shows a
// position before all smaller ones of that owner are readable (or expired), so
// that a reader who follows After with the last position seen gets every message
// once and in order, whoever writes meanwhile. No read shows what is not yet
// durable. A position is never used for another message, not after expiry and not
// after a crash.
//
// Once. The second message with the same (Owner, Actor, ActivityID) is
// ErrDuplicate with the first's Position, for as long as the first is kept and at
// least for Remembered after it was accepted, also when both are in one Append.
// Another actor's use of the id does not count. ErrFull remembers nothing.
//
// Bounded. The activities of one owner never exceed the quota in bytes: a message
// that would is ErrFull and later, smaller ones may still fit. So is one with a Fate
// that would take its actor over their share of it, what waits counted. A message expires
// once, between retention and retention plus a tenth after it was accepted (at
// least a second): it leaves reads, Find and Usage, and gives back its quota, all
// at the same moment of the store's clock.
//
// Owned. A Store keeps no byte slice it was given once Append has returned, and
// what it returns belongs to the caller. All methods may be called concurrently.
type Store interface {
	// Append keeps ms, in order, and answers one Result each. Messages are kept
	// one by one: some can be ErrFull while others are kept. A non-nil error
	// (ErrUnavailable, or the context's) comes without Results and leaves open
	// which messages were kept: asking again is safe, that is what Once is for.
	Append(ctx context.Context, ms []Message) ([]Result, error)

	// After gives up to limit messages with positions over p, ascending. Fewer
	// than limit means that there are no more now.
	After(ctx context.Context, o Owner, p Position, limit int) ([]Entry, error)

	// Find gives the position of the oldest kept message with this activity id,
	// whoever sent it, or ErrNotFound.
	Find(ctx context.Context, o Owner, activityID string) (Position, error)

	// Usage is zero for an owner never heard of.
	Usage(ctx context.Context, o Owner) (Usage, error)
}
