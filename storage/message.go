package storage

import (
	"bytes"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

const (
	// partSize keeps every value under Badger's 1 MiB limit for values in the LSM.
	partSize      = 512 << 10
	maxMaxMessage = 64 << 20 // 128 parts
	// maxEnvelope bounds what a message may carry besides its activity.
	maxEnvelope = 64 << 10
	// isHidden stands above a message's nanoseconds, of which there are fewer than 2^30.
	isHidden = 1 << 30
)

// letter is a message on its way to the committer: copied, encoded, its keys
// derived, all in the goroutine of whoever sent it.
type letter struct {
	box, once, find hashed
	value           []byte        // begins with its length; kept in parts
	size            int64         // what the quota counts
	m               inbox.Message // its bytes are the letter's own
}

func (s *Store) letter(m *inbox.Message) letter {
	l := letter{
		box:   s.keys.box(m.Owner),
		once:  s.keys.once(m),
		find:  s.keys.find(m.Owner, m.ActivityID),
		value: encodeMessage(m),
		size:  int64(len(m.Activity)),
		m:     *m,
	}
	l.m.Group = bytes.Clone(m.Group)
	l.m.Activity = l.value[len(l.value)-len(m.Activity):]
	return l
}

// weight estimates what the letter adds to a transaction. One with a Fate changes rows
// of the ledger, too.
func (l *letter) weight() int64 {
	size := int64(len(l.value) + 2*len(l.m.ActivityID))
	if l.m.Fate == inbox.Kept {
		return size + letterOverhead
	}
	return size + enteringOverhead
}

func encodeMessage(m *inbox.Message) []byte {
	nanos := uint64(m.Received.Nanosecond())
	if m.Hidden {
		nanos |= isHidden
	}
	head := appendUints(nil, uint64(m.Received.Unix()), nanos, m.Epoch)
	head = appendBytes(head, m.Kind)
	head = appendBytes(head, m.Group)
	head = appendBytes(head, m.Actor)
	head = appendBytes(head, m.ActivityID)
	value := make([]byte, 0, len(head)+len(m.Activity)+10)
	value = appendUints(value, uint64(len(head)+len(m.Activity)))
	value = append(value, head...)
	return append(value, m.Activity...)
}

// messageSize is how many bytes the whole record has whose first part this is.
func messageSize(first []byte) (int, error) {
	d := decoder{rest: first}
	n := d.uint()
	if d.err != nil || n > maxMaxMessage+maxEnvelope {
		return 0, errRecord
	}
	return len(first) - len(d.rest) + int(n), nil
}

// decodeMessage owns value afterwards: the activity and the group are cut from it.
func decodeMessage(o inbox.Owner, value []byte) (inbox.Message, error) {
	d := decoder{rest: value}
	d.uint()
	seconds, nanos := d.int(), d.uint()
	m := inbox.Message{
		Owner: o, Received: time.Unix(seconds, int64(nanos&^isHidden)).UTC(), Epoch: d.uint(), Kind: string(d.bytes()),
		Hidden: nanos&isHidden != 0,
	}
	if group := d.bytes(); len(group) > 0 {
		m.Group = group
	}
	m.Actor, m.ActivityID = string(d.bytes()), string(d.bytes())
	m.Activity = d.rest
	return m, d.err
}
