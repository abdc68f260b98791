package inboxtest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// Setup is what the contract suite asks of a new, empty store.
type Setup struct {
	Clock     func() time.Time
	Retention time.Duration
	Quota     int64
	Share     int64
	Door      inbox.Door
}

// Run holds the stores that open makes to the contract of inbox.Store. open
// registers its own clean-up with t.
func Run(t *testing.T, open func(t *testing.T, s Setup) inbox.Store) {
	t.Helper()
	tests := []struct {
		name string
		f    func(t *testing.T, b *bench)
	}{
		{"EmptyMailbox", testEmptyMailbox},
		{"PositionsAreDense", testPositionsAreDense},
		{"MessageComesBackWhole", testMessageComesBackWhole},
		{"OwnersAreApart", testOwnersAreApart},
		{"Pages", testPages},
		{"Duplicates", testDuplicates},
		{"DuplicateOutlivesMessage", testDuplicateOutlivesMessage},
		{"Find", testFind},
		{"Quota", testQuota},
		{"Expiry", testExpiry},
		{"ClockSetBack", testClockSetBack},
		{"BytesAreOwned", testBytesAreOwned},
		{"CancelledContext", testCancelledContext},
		{"LargeAppend", testLargeAppend},
		{"ReadersSeeEveryMessageOnce", testReadersSeeEveryMessageOnce},
		{"ConcurrentDuplicates", testConcurrentDuplicates},
		{"Trim", testTrim},
		{"TrimGivesBackQuota", testTrimGivesBackQuota},
		{"Model", testModel},
		{"WelcomeWaits", testWelcomeWaits},
		{"AcceptedInOrder", testAcceptedInOrder},
		{"AcceptNeedsRoom", testAcceptNeedsRoom},
		{"AcceptedInParts", testAcceptedInParts},
		{"KnownStaysBehind", testKnownStaysBehind},
		{"DroppedRequest", testDroppedRequest},
		{"DropSparesKnown", testDropSparesKnown},
		{"OverflownRequest", testOverflownRequest},
		{"RequestExpires", testRequestExpires},
		{"RequestsAreBounded", testRequestsAreBounded},
		{"BytesAreCountedOut", testBytesAreCountedOut},
		{"EvictsToSevenEighths", testEvictsToSevenEighths},
		{"OwnRequestStays", testOwnRequestStays},
		{"ExpiredAreCounted", testExpiredAreCounted},
		{"Allowance", testAllowance},
		{"MemberNeverWaits", testMemberNeverWaits},
		{"ConversationIsJoined", testConversationIsJoined},
		{"LessonLetsGo", testLessonLetsGo},
		{"LessonEmptiesRequest", testLessonEmptiesRequest},
		{"LessonOfTheMet", testLessonOfTheMet},
		{"LessonNamesConversation", testLessonNamesConversation},
		{"GroupStaysBound", testGroupStaysBound},
		{"AcceptedBeforeLetGo", testAcceptedBeforeLetGo},
		{"GoneBeforeLetGo", testGoneBeforeLetGo},
		{"KnownPasses", testKnownPasses},
		{"TagLetsGo", testTagLetsGo},
		{"ContextOfAnother", testContextOfAnother},
		{"ForgottenRequestHoldsNothing", testForgottenRequestHoldsNothing},
		{"UsedContextStays", testUsedContextStays},
		{"UsedGroupStays", testUsedGroupStays},
		{"AllowedWelcomeLetsGo", testAllowedWelcomeLetsGo},
		{"SlowGroupKeepsOrder", testSlowGroupKeepsOrder},
		{"GroupsAreBounded", testGroupsAreBounded},
		{"SenderHasAShare", testSenderHasAShare},
		{"WaitingHasAShare", testWaitingHasAShare},
		{"OverflowBeforeShare", testOverflowBeforeShare},
		{"ReleasedStays", testReleasedStays},
		{"SharesAddUp", testSharesAddUp},
		{"HiddenStaysHidden", testHiddenStaysHidden},
		{"DoorModel", testDoorModel},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.f(t, newBench(t, open))
		})
	}
}

const (
	retention = 30 * time.Hour
	quota     = 64 << 10
)

// bench is a store under test and the clock it lives by.
type bench struct {
	inbox.Store
	Inbox *inbox.Inbox // over Store
	clock *Clock
	open  func(t *testing.T, s Setup) inbox.Store
}

func newBench(t *testing.T, open func(t *testing.T, s Setup) inbox.Store) *bench {
	t.Helper()
	b := &bench{clock: NewClock(), open: open}
	b.Store = open(t, Setup{Clock: b.clock.Now, Retention: retention, Quota: quota, Share: share, Door: door})
	b.Inbox = inbox.New(inbox.Options{Store: b.Store, Clock: b.clock.Now})
	return b
}

// Clock is moved by hand. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts at a fixed time in 2026.
func NewClock() *Clock {
	return &Clock{now: time.Date(2026, 7, 28, 12, 0, 0, 0, time.UTC)}
}

// Now is the time on the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock, backwards when d is negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Sample is a message to o with the n-th activity id.
func Sample(o inbox.Owner, n int) inbox.Message {
	return inbox.Message{
		Owner:      o,
		Actor:      "https://peer.example/users/alice",
		ActivityID: fmt.Sprintf("https://peer.example/activities/%d", n),
		Kind:       "application",
		Group:      []byte("group"),
		Epoch:      7,
		Received:   time.Date(2026, 7, 28, 12, 0, 0, 12345, time.UTC),
		Activity:   fmt.Appendf(nil, `{"type":"Create","n":%d}`, n),
	}
}

func (b *bench) append(t *testing.T, ms ...inbox.Message) []inbox.Result {
	t.Helper()
	results, err := b.Append(t.Context(), ms)
	if err != nil {
		t.Fatalf("Append: %v", err)
	}
	if len(results) != len(ms) {
		t.Fatalf("%d results for %d messages", len(results), len(ms))
	}
	return results
}

// fill appends n samples from number first on, all to be kept.
func (b *bench) fill(t *testing.T, o inbox.Owner, first, n int) {
	t.Helper()
	for i := range n {
		if r := b.append(t, Sample(o, first+i))[0]; r.Err != nil {
			t.Fatalf("message %d: %v", first+i, r.Err)
		}
	}
}

func (b *bench) after(t *testing.T, o inbox.Owner, p inbox.Position, limit int) []inbox.Entry {
	t.Helper()
	es, err := b.After(t.Context(), o, p, limit)
	if err != nil {
		t.Fatalf("After %d: %v", p, err)
	}
	return es
}

func (b *bench) usage(t *testing.T, o inbox.Owner) inbox.Usage {
	t.Helper()
	u, err := b.Usage(t.Context(), o)
	if err != nil {
		t.Fatalf("Usage: %v", err)
	}
	return u
}

func positions(es []inbox.Entry) []inbox.Position {
	out := make([]inbox.Position, len(es))
	for i, e := range es {
		out[i] = e.Position
	}
	return out
}
