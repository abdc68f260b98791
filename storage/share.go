package storage

import (
	"math"
	"slices"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// share is what one sender has for one person, in the mailbox and waiting.
type share struct {
	runs    []shareRun
	changed bool
}

// shareRun is so many bytes of it. Where they are says when they are gone by themselves: in the mailbox with
// the bucket of that serial; what waits at that nanosecond since 1970, which no serial reaches; at 0 never.
type shareRun struct {
	where uint64
	bytes int64
}

// unended is where bytes are that wait until they are delivered or dropped.
const unended = 0

func whereUntil(ends time.Time) uint64 {
	if ends.IsZero() {
		return unended
	}
	return uint64(ends.UnixNano())
}

func (r shareRun) waits() bool { return r.where == unended || r.where > math.MaxUint32 }

// ended tells whether a wait is over.
func (r shareRun) ended(now time.Time) bool {
	return r.where > math.MaxUint32 && now.UnixNano() >= int64(r.where)
}

// Share implements inbox.Ledger.
func (l *ledger) Share(o inbox.Owner, actor string) (int64, error) {
	left := l.s.opt.Share
	if left == 0 {
		return math.MaxInt64, nil
	}
	one, err := l.share(l.s.keys.share(l.s.keys.box(o), actor))
	if err != nil {
		return 0, err
	}
	for _, r := range one.runs {
		if r.waits() && !r.ended(l.now) || !r.waits() && l.alive(uint32(r.where)) {
			left -= r.bytes
		}
	}
	return left, nil
}

// recharge counts what a row of what waits begins to keep, and no longer what it kept. Rows of a store that
// counted only mailboxes were never counted: taking them away leaves too little to that sender for as long
// as others of theirs wait with them, and nothing when those are gone, too.
func (l *ledger) recharge(r inbox.Row, value []byte) error {
	if l.s.opt.Share == 0 || r.Kind != inbox.WaitingRow {
		return nil
	}
	old, err := l.Row(r)
	if err != nil {
		return err
	}
	if err := l.chargeStay(r.Owner, old, -1); err != nil {
		return err
	}
	return l.chargeStay(r.Owner, value, 1)
}

func (l *ledger) chargeStay(o inbox.Owner, value []byte, sign int64) error {
	if value == nil {
		return nil
	}
	stay, err := inbox.DecodeStay(value)
	if err != nil {
		return err
	}
	return l.charge(l.s.keys.box(o), stay.Actor, whereUntil(stay.Ends), sign*stay.Bytes)
}

// charge counts size bytes more, or less, of a sender's.
func (p *post) charge(box hashed, actor string, where uint64, size int64) error {
	if p.s.opt.Share == 0 {
		return nil
	}
	one, err := p.share(p.s.keys.share(box, actor))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(one.runs, func(r shareRun) bool { return r.where == where })
	if i < 0 {
		if size <= 0 { // from before it was counted
			return nil
		}
		i = len(one.runs)
		one.runs = append(one.runs, shareRun{where: where})
	}
	one.changed = true
	one.runs[i].bytes = max(0, one.runs[i].bytes+size)
	return nil
}

func (k keyring) share(box hashed, actor string) hashed {
	return k.hash(shareKey, string(box[:]), actor)
}

func (p *post) share(h hashed) (*share, error) {
	if one, ok := p.shares[h]; ok {
		return one, nil
	}
	value, err := get(p.txn, h.key(shareKey))
	if err != nil && !isMissing(err) {
		return nil, err
	}
	one := &share{}
	d := decoder{rest: value}
	for len(d.rest) > 0 {
		one.runs = append(one.runs, shareRun{where: d.uint(), bytes: d.int()})
	}
	if p.shares == nil {
		p.shares = map[hashed]*share{}
	}
	p.shares[h] = one
	return one, d.end()
}

// finishShares writes each share that was changed once, less the runs that are gone.
func (p *post) finishShares() error {
	for h, one := range p.shares {
		if !one.changed {
			continue
		}
		value, life := p.encodeShare(one)
		if err := p.set(h.key(shareKey), value, life); err != nil {
			return err
		}
	}
	return nil
}

// encodeShare gives a share's row, and how long it is needed.
func (p *post) encodeShare(one *share) (value []byte, life time.Duration) {
	life, stays := p.s.remembered(), false
	for _, r := range one.runs {
		if r.bytes == 0 || r.ended(p.now) || !r.waits() && !p.registered(uint32(r.where)) {
			continue
		}
		value = appendUints(value, r.where, uint64(r.bytes))
		if stays = stays || r.where == unended; r.waits() {
			life = max(life, time.Unix(0, int64(r.where)).Sub(p.now))
		}
	}
	if stays {
		life = 0
	}
	return value, life
}

func (p *post) registered(serial uint32) bool {
	return serial == p.bucket.serial || p.s.buckets.registered(serial)
}
