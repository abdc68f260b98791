package storage

import (
	"slices"

	"github.com/sealgate/sealgate/inbox"
)

// share is what one sender has in one mailbox, by bucket.
type share struct{ runs []shareRun }

type shareRun struct {
	serial uint32
	bytes  int64
}

// overfills tells whether a letter would take its sender over their share of the
// mailbox.
func (p *post) overfills(l *letter) (bool, error) {
	if p.s.opt.Share == 0 || l.m.Fate == inbox.Kept {
		return false, nil
	}
	one, err := p.share(p.s.keys.share(l.box, l.m.Actor))
	if err != nil {
		return false, err
	}
	used := l.size
	for _, r := range one.runs {
		if p.alive(r.serial) {
			used += r.bytes
		}
	}
	return used > p.s.opt.Share, nil
}

// charge counts size bytes more, or less, of a sender's in a mailbox.
func (p *post) charge(box hashed, actor string, serial uint32, size int64) error {
	if p.s.opt.Share == 0 {
		return nil
	}
	one, err := p.share(p.s.keys.share(box, actor))
	if err != nil {
		return err
	}
	i := slices.IndexFunc(one.runs, func(r shareRun) bool { return r.serial == serial })
	if i < 0 {
		if size <= 0 { // from before shares were counted
			return nil
		}
		i = len(one.runs)
		one.runs = append(one.runs, shareRun{serial: serial})
	}
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
		one.runs = append(one.runs, shareRun{serial: uint32(d.uint()), bytes: d.int()})
	}
	if p.shares == nil {
		p.shares = map[hashed]*share{}
	}
	p.shares[h] = one
	return one, d.end()
}

// finishShares writes each share that was read once, less the runs whose bucket is
// gone.
func (p *post) finishShares() error {
	for h, one := range p.shares {
		var value []byte
		for _, r := range one.runs {
			if r.bytes > 0 && (r.serial == p.bucket.serial || p.s.buckets.registered(r.serial)) {
				value = appendUints(value, uint64(r.serial), uint64(r.bytes))
			}
		}
		if err := p.set(h.key(shareKey), value, p.s.remembered()); err != nil {
			return err
		}
	}
	return nil
}
