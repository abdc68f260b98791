package storage

import (
	"context"
	"math"

	"github.com/sealgate/sealgate/inbox"
)

// maxTrim is how many messages one transaction removes.
const maxTrim = 256

// Trim implements inbox.Keeper. What goes gives back its quota at once and its
// disk space when Badger compacts.
func (s *Store) Trim(ctx context.Context, o inbox.Owner, through inbox.Position) error {
	return s.removeMessages(ctx, func(p *post) (left bool, err error) { return p.trim(s.keys.box(o), uint64(through)) })
}

// removeMessages runs f in one transaction after the other until it leaves nothing.
func (s *Store) removeMessages(ctx context.Context, f func(*post) (left bool, err error)) error {
	for more := true; more; {
		var left bool
		r := &request{relief: true, weight: maxTrim * letterOverhead, change: func(p *post) (err error) {
			left, err = f(p)
			return err
		}}
		if err := s.submit(ctx, r); err != nil {
			return err
		}
		more = left
	}
	return nil
}

// trim removes a mailbox's oldest messages, and tells whether some of them are
// left for the next transaction. What makes them known again stays.
func (p *post) trim(h hashed, through uint64) (left bool, err error) {
	box, err := p.box(h)
	if err != nil {
		return false, err
	}
	for removed := 0; len(box.runs) > 0 && box.runs[0].first <= through; removed++ {
		if removed == maxTrim {
			return true, nil
		}
		p.dirty[h] = true
		if r := &box.runs[0]; r.count == 0 || !p.alive(r.serial) {
			box.runs = box.runs[1:] // expired: the sweep has them
			continue
		}
		if err := p.erase(h, &box.runs[0]); err != nil {
			return false, err
		}
		if box.runs[0].count == 0 {
			box.runs = box.runs[1:]
		}
	}
	return false, nil
}

// close removes a mailbox and what is in it. Both at once: no mailbox would lead to a message that came between.
func (p *post) close(h hashed) (left bool, err error) {
	if left, err = p.trim(h, math.MaxUint64); !left && err == nil {
		p.boxes[h], p.dirty[h] = &mailbox{}, true
	}
	return left, err
}

// erase removes the first message of a run.
func (p *post) erase(h hashed, r *run) error {
	position := inbox.Position(r.first)
	first, err := get(p.txn, messageKeyOf(r.serial, h, position, 0))
	if err != nil {
		return err
	}
	whole, err := messageSize(first)
	if err != nil {
		return err
	}
	m, err := decodeMessage("", first) // its activity is cut where the part is
	if err != nil {
		return err
	}
	for part := 0; part == 0 || part*partSize < whole; part++ {
		p.writes++
		if err := p.txn.Delete(messageKeyOf(r.serial, h, position, uint8(part))); err != nil {
			return err
		}
	}
	size := int64(whole - (len(first) - len(m.Activity)))
	r.first, r.count, r.bytes = r.first+1, r.count-1, r.bytes-size
	p.lighten(r.serial, size)
	return p.charge(h, m.Actor, uint64(r.serial), -size)
}

// lighten takes one message out of a bucket's sums.
func (p *post) lighten(serial uint32, size int64) {
	if serial == p.bucket.serial {
		p.bucket.messages--
		p.bucket.bytes -= size
		return
	}
	if p.lighter == nil {
		p.lighter = map[uint32]bucket{}
	}
	one, ok := p.lighter[serial]
	if !ok {
		one = p.s.buckets.get(serial)
	}
	one.messages--
	one.bytes -= size
	p.lighter[serial] = one
}

// finishLighter writes the older buckets that lost messages.
func (p *post) finishLighter() error {
	for serial, one := range p.lighter {
		if err := p.set(bucketKeyOf(serial), one.encode(), 0); err != nil {
			return err
		}
	}
	return nil
}
