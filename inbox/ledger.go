package inbox

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// RowKind says what a row of a Ledger is about.
type RowKind byte

// The kinds of rows.
const (
	groupRow   RowKind = 'g' // an MLS group of a person: membership
	contextRow RowKind = 'c' // a conversation a person was invited to: conversation
	senderRow  RowKind = 's' // one who writes to a person: acquaintance
	headRow    RowKind = 'w' // a message request or a slowed group: Waiting
	WaitingRow RowKind = 'e' // one message in it: waitingMessage
	tallyRow   RowKind = 'o' // sums over a person's rows: tally
	DueRow     RowKind = 'd' // what is to be let go: due; of nobody
)

// Row names a row: of a person, about a name, with a number. Names are any bytes.
type Row struct {
	Kind  RowKind
	Owner Owner
	Name  string
	N     uint64
}

// Ledger is one transaction of a Store as the rules about strangers see it: rows of
// small values, and the mailboxes. What it reads are the rows as this transaction
// has left them. An error is the store's and ends the transaction.
type Ledger interface {
	// Row gives a row's value, nil when there is none. It belongs to the caller.
	Row(r Row) ([]byte, error)

	// SetRow keeps value under r, over any earlier one; nil removes the row. The store
	// may forget it a day or more after life; 0 is never.
	SetRow(r Row, value []byte, life time.Duration) error

	// Rows gives the values of an owner's rows of one kind, of one name or, when it is
	// "", of all; those of one name in the order of their numbers.
	Rows(kind RowKind, o Owner, name string) ([][]byte, error)

	// Deliver keeps m in its mailbox. ErrFull is a Result.
	Deliver(m *Message) (Result, error)

	// Room is how many more bytes o's mailbox takes.
	Room(o Owner) (int64, error)

	// Share is how many more bytes of an actor's may come for o: what of theirs is in the
	// mailbox counts, and what waits (Stay), in this transaction too.
	Share(o Owner, actor string) (int64, error)
}

// Books is what a Store must offer besides, so that messages can wait and it is
// known who is in which group. Memory and Badger differ only in how they keep rows.
type Books interface {
	// ReadRows runs f on one durable snapshot. f must not write.
	ReadRows(ctx context.Context, f func(Ledger) error) error

	// ChangeRows runs f in one transaction, kept whole and durably when it answers nil.
	// f may run several times, of which the last counts. An error that f returns before
	// it has written anything changes nothing and is returned as it is.
	ChangeRows(ctx context.Context, f func(Ledger) error) error
}

// read decodes a row into v and tells whether there is one.
func read(l Ledger, r Row, v any) (bool, error) {
	value, err := l.Row(r)
	if err != nil || value == nil {
		return false, err
	}
	if err := json.Unmarshal(value, v); err != nil {
		return false, fmt.Errorf("read a row %c: %w", r.Kind, err)
	}
	return true, nil
}

func write(l Ledger, r Row, v any, life time.Duration) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a row %c: %w", r.Kind, err)
	}
	return l.SetRow(r, value, life)
}

// readAll decodes all rows of a kind.
func readAll[T any](l Ledger, kind RowKind, o Owner) ([]T, error) {
	values, err := l.Rows(kind, o, "")
	if err != nil {
		return nil, err
	}
	out := make([]T, len(values))
	for i, value := range values {
		if err := json.Unmarshal(value, &out[i]); err != nil {
			return nil, fmt.Errorf("read a row %c: %w", kind, err)
		}
	}
	return out, nil
}
