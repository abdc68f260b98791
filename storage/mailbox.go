package storage

import (
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
)

// mailbox is an owner's row: the last position ever given and, oldest first, the
// runs of positions that lie in one bucket. It stays when all messages are gone,
// for positions are never reused.
type mailbox struct {
	last uint64
	runs []run
}

// run is count positions from first, all in the bucket with this serial.
type run struct {
	serial       uint32
	first, count uint64
	bytes        int64
}

func (r run) last() uint64 { return r.first + r.count - 1 }

// add takes the next position into the bucket.
func (b *mailbox) add(serial uint32, size int64) inbox.Position {
	b.last++
	if n := len(b.runs); n == 0 || b.runs[n-1].serial != serial {
		b.runs = append(b.runs, run{serial: serial, first: b.last})
	}
	r := &b.runs[len(b.runs)-1]
	r.count++
	r.bytes += size
	return inbox.Position(b.last)
}

// forget leaves out the runs whose bucket is no longer registered: their messages
// are gone from the disk.
func (b *mailbox) forget(registered func(uint32) bool, current uint32) {
	b.runs = slices.DeleteFunc(b.runs, func(r run) bool {
		return r.serial != current && !registered(r.serial)
	})
}

// usage counts the runs that are alive.
func (b *mailbox) usage(alive func(uint32) bool) inbox.Usage {
	u := inbox.Usage{Last: inbox.Position(b.last)}
	for _, r := range b.runs {
		if !alive(r.serial) {
			continue
		}
		if u.First == 0 {
			u.First = inbox.Position(r.first)
		}
		u.Total += int(r.count)
		u.Bytes += r.bytes
	}
	return u
}

// at gives the run that holds p.
func (b *mailbox) at(p inbox.Position) (run, bool) {
	for _, r := range b.runs {
		if uint64(p) >= r.first && uint64(p) <= r.last() {
			return r, true
		}
	}
	return run{}, false
}

func (b *mailbox) encode() []byte {
	out := appendUints(nil, b.last, uint64(len(b.runs)))
	for _, r := range b.runs {
		out = appendUints(out, uint64(r.serial), r.first, r.count, uint64(r.bytes))
	}
	return out
}

func decodeMailbox(value []byte) (*mailbox, error) {
	d := decoder{rest: value}
	b := &mailbox{last: d.uint()}
	for n := d.uint(); n > 0 && d.err == nil; n-- {
		b.runs = append(b.runs, run{serial: uint32(d.uint()), first: d.uint(), count: d.uint(), bytes: d.int()})
	}
	return b, d.end()
}

// readMailbox gives an empty mailbox to an owner never heard of.
func readMailbox(txn *badger.Txn, box hashed) (*mailbox, error) {
	value, err := get(txn, box.key(mailboxKey))
	if isMissing(err) {
		return &mailbox{}, nil
	}
	if err != nil {
		return nil, err
	}
	return decodeMailbox(value)
}
