package storage

import (
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
)

// post sorts one group's letters into mailboxes. What the group itself wrote is
// seen through the transaction; mailbox rows are gathered and written once.
type post struct {
	s      *Store
	txn    *badger.Txn
	now    time.Time
	alive  func(uint32) bool
	bucket bucket
	boxes  map[hashed]*mailbox
	dirty  map[hashed]bool
	pools  map[hashed]*pool // key pools, read once
	shares map[hashed]*share
	writes int

	lighter map[uint32]bucket // older buckets that lost messages
	queued  uint64            // deliveries numbered in this transaction
	listed  uint64            // lines of conversations
	rivals  int               // commits for an epoch that had one
}

func (s *Store) newPost(txn *badger.Txn) *post {
	p := &post{s: s, txn: txn, now: s.now(), boxes: map[hashed]*mailbox{}, dirty: map[hashed]bool{}}
	p.bucket = s.buckets.current(p.now)
	known := s.buckets.alive(p.now)
	p.alive = func(serial uint32) bool { return serial == p.bucket.serial || known(serial) }
	return p
}

func (p *post) deliver(r *request) error {
	r.results = make([]inbox.Result, len(r.letters))
	if err := p.s.opt.Door.Learn(&ledger{post: p}, p.now, r.lesson); err != nil {
		return err
	}
	if stays, err := p.judge(r); stays || err != nil {
		return err
	}
	for i := range r.letters {
		result, err := p.letter(&r.letters[i])
		if err != nil {
			return err
		}
		r.results[i] = result
	}
	if r.whole == nil {
		if err := p.arrived(r); err != nil {
			return err
		}
	}
	for _, one := range r.rows {
		if err := p.set(one.key, one.value, 0); err != nil {
			return err
		}
	}
	if r.change != nil {
		return r.change(p)
	}
	return nil
}

// letter keeps one message, unless it was accepted before or its mailbox is full.
func (p *post) letter(l *letter) (inbox.Result, error) {
	first, known, err := p.known(l)
	if err != nil || known {
		return inbox.Result{Position: first, Err: inbox.ErrDuplicate}, err
	}
	result, err := p.s.opt.Door.Enter(&ledger{p, l}, p.now, &l.m)
	if err != nil || result.Err != nil || result.Delivered() {
		return result, err
	}
	return result, p.remember(l, 0) // it waits, or is not wanted: once is enough
}

// deposit puts a message into its mailbox.
func (p *post) deposit(l *letter) (inbox.Result, error) {
	box, err := p.box(l.box)
	if err != nil {
		return inbox.Result{}, err
	}
	if box.usage(p.alive).Bytes+l.size > p.s.opt.Quota {
		return inbox.Result{Err: inbox.ErrFull}, nil
	}
	position := box.add(p.bucket.serial, l.size)
	p.dirty[l.box] = true
	p.bucket.messages++
	p.bucket.bytes += l.size
	if err := p.charge(l.box, l.m.Actor, uint64(p.bucket.serial), l.size); err != nil {
		return inbox.Result{}, err
	}
	return inbox.Result{Position: position}, p.keep(l, box, position)
}

// keep writes the message and what finds it again.
func (p *post) keep(l *letter, box *mailbox, position inbox.Position) error {
	part := uint8(0)
	for piece := range slices.Chunk(l.value, partSize) {
		if err := p.set(messageKeyOf(p.bucket.serial, l.box, position, part), piece, 0); err != nil {
			return err
		}
		part++
	}
	if err := p.remember(l, position); err != nil {
		return err
	}
	if err := p.enlist(l.m.Conversation, inbox.LocalReader(l.m.Owner), l.m.ActivityID); err != nil {
		return err
	}
	if found, err := p.found(l, box); found || err != nil {
		return err
	}
	return p.set(l.find.key(findKey), appendUints(nil, uint64(position)), p.s.remembered())
}

// remember has the message known again, at position or, when it is in no mailbox, 0.
func (p *post) remember(l *letter, position inbox.Position) error {
	once := appendUints(nil, uint64(position), uint64(p.now.UnixNano()))
	return p.set(l.once.key(onceKey), once, p.s.remembered())
}

// known looks for an earlier acceptance of the same activity from the same actor.
func (p *post) known(l *letter) (inbox.Position, bool, error) {
	value, err := get(p.txn, l.once.key(onceKey))
	if isMissing(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	d := decoder{rest: value}
	position, at := inbox.Position(d.uint()), time.Unix(0, d.int())
	return position, p.now.Before(at.Add(p.s.remembered())), d.end()
}

// found says whether the id already leads to an older message still kept.
func (p *post) found(l *letter, box *mailbox) (bool, error) {
	position, err := readPosition(p.txn, l.find.key(findKey))
	if isMissing(err) {
		return false, nil
	}
	r, ok := box.at(position)
	return ok && p.alive(r.serial), err
}

func (p *post) box(h hashed) (*mailbox, error) {
	if b, ok := p.boxes[h]; ok {
		return b, nil
	}
	b, err := readMailbox(p.txn, h)
	if err != nil {
		return nil, err
	}
	p.boxes[h] = b
	return b, nil
}

// finish writes each changed mailbox once.
func (p *post) finish() error {
	for h := range p.dirty {
		if err := p.finishBox(h, p.boxes[h]); err != nil {
			return err
		}
	}
	if err := p.finishShares(); err != nil || len(p.dirty) == 0 {
		return err
	}
	if err := p.finishLighter(); err != nil {
		return err
	}
	return p.set(bucketKeyOf(p.bucket.serial), p.bucket.encode(), 0)
}

// finishBox writes a mailbox, less the runs whose bucket is gone, or removes one that was closed.
func (p *post) finishBox(h hashed, box *mailbox) error {
	if box.last == 0 {
		p.writes++
		return p.txn.Delete(h.key(mailboxKey))
	}
	box.forget(p.s.buckets.registered, p.bucket.serial)
	return p.set(h.key(mailboxKey), box.encode(), 0)
}

// set writes a row; a lifetime lets Badger give back its space. Badger counts in
// whole seconds of the real clock, so a lifetime only ever clears away what the
// store's own clock has long stopped believing, and a day is added to be sure.
func (p *post) set(key, value []byte, lifetime time.Duration) error {
	if _, known := kinds[key[0]]; !known {
		panic(fmt.Sprintf("bug: rows of kind %q are not in kinds: nobody knows whose they are", key[0]))
	}
	p.writes++
	e := badger.NewEntry(key, value)
	if lifetime > 0 {
		e = e.WithTTL(lifetime + 24*time.Hour)
	}
	return p.txn.SetEntry(e)
}

// remembered is how long an accepted activity is known again: as long as it can
// be kept, and no less than the contract's eight days.
func (s *Store) remembered() time.Duration {
	return max(inbox.Remembered, s.opt.Retention+s.buckets.width)
}

func readPosition(txn *badger.Txn, key []byte) (inbox.Position, error) {
	value, err := get(txn, key)
	if err != nil {
		return 0, err
	}
	d := decoder{rest: value}
	return inbox.Position(d.uint()), d.end()
}
