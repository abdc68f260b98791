package storage

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/relay/outbox"
)

// ErrDamaged is a store in which something is not as it was written.
var ErrDamaged = errors.New("storage: the store is damaged")

// Verify reads everything: the checksum of every block of every table, every row, and whether each mailbox has the
// messages it says it has. It says how much that was, and in ErrDamaged what is wrong first.
func (s *Store) Verify(ctx context.Context) (amount Amount, err error) {
	if err := s.readTables(ctx); err != nil {
		return Amount{}, err
	}
	seen := messages{whole: map[shelfMark]uint64{}}
	err = s.scan(ctx, []byte{}, func(row *badger.Entry) error {
		amount.Rows++
		amount.Bytes += int64(len(row.Key) + len(row.Value))
		if err := s.verifyRow(row, &seen); err != nil {
			return fmt.Errorf("%w: row %d, a %s: %w", ErrDamaged, amount.Rows, kinds[row.Key[0]].what, err)
		}
		return nil
	})
	return amount, err
}

// shelfMark is a mailbox's part of a bucket.
type shelfMark struct {
	serial uint32
	box    hashed
}

// messages counts those of which all parts are there.
type messages struct {
	whole map[shelfMark]uint64
	lacks int // bytes of the last one
}

// verify takes the parts of a message one after the other.
func (m *messages) verify(row *badger.Entry) (err error) {
	if len(row.Key) != len(messageKeyOf(0, hashed{}, 0, 0)) {
		return errRecord
	}
	if row.Key[len(row.Key)-1] == 0 {
		if m.lacks, err = messageSize(row.Value); err == nil {
			_, err = decodeMessage("", row.Value)
		}
	}
	if m.lacks -= len(row.Value); m.lacks == 0 {
		m.whole[shelfMark{binary.BigEndian.Uint32(row.Key[1:]), hashed(row.Key[5:21])}]++
	}
	return err
}

// verifyRow decodes a row. Messages come before mailboxes.
func (s *Store) verifyRow(row *badger.Entry, seen *messages) (err error) {
	switch row.Key[0] {
	case messageKey:
		return seen.verify(row)
	case mailboxKey:
		return s.verifyMailbox(row, seen.whole)
	case bucketKey:
		_, err = decodeBucket(0, row.Value)
	case onceKey:
		d := decoder{rest: row.Value}
		d.uint()
		d.uint()
		err = d.end()
	case findKey:
		d := decoder{rest: row.Value}
		d.uint()
		err = d.end()
	case signInKey:
		if !json.Valid(row.Value) {
			err = errRecord
		}
	case queueKey:
		err = json.Unmarshal(row.Value, &outbox.Delivery{})
	case poolKey:
		_, err = showPackage(row)
	case logKey:
		_, err = decodeEntry(row.Value)
	case traceKey:
		_, err = decodeTrace("", row.Value)
	default:
		if _, known := kinds[row.Key[0]]; !known {
			err = fmt.Errorf("%w: nobody knows this kind", errRecord)
		}
	}
	return err
}

func (s *Store) verifyMailbox(row *badger.Entry, shelves map[shelfMark]uint64) error {
	box, err := decodeMailbox(row.Value)
	if err != nil || len(row.Key) != 1+len(hashed{}) {
		return errors.Join(err, errRecord)
	}
	for _, r := range box.runs {
		has := shelves[shelfMark{r.serial, hashed(row.Key[1:])}]
		if s.buckets.alive(s.now())(r.serial) && has != r.count {
			return fmt.Errorf("%d messages are there of %d, positions %d to %d", has, r.count, r.first, r.last())
		}
	}
	return nil
}
