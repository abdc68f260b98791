package storage

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay/outbox"
)

const membersKept = 365 * 24 * time.Hour

// whole is a submission's requests: they are all kept, or none.
type whole struct {
	requests []*request
	turn     *outbox.Turn

	judged bool
	full   map[hashed]bool // mailboxes without room
	lost   *outbox.Lost
}

// commit says which epoch of which group a message ends.
type commit struct {
	group []byte
	epoch uint64
}

// judge says whether a submission's request stays away, and in its results which
// mailboxes are full. The first request is judged for all: nothing comes between.
func (p *post) judge(r *request) (stays bool, err error) {
	w := r.whole
	if w == nil {
		return false, nil
	}
	if !w.judged {
		if err := p.judgeWhole(w); err != nil {
			return false, err
		}
	}
	for i := range r.letters {
		if w.full[r.letters[i].box] {
			r.results[i].Err = inbox.ErrFull
		}
	}
	return len(w.full) > 0 || w.lost != nil, nil
}

func (p *post) judgeWhole(w *whole) error {
	full := map[hashed]bool{}
	for _, r := range w.requests {
		for i := range r.letters {
			l := &r.letters[i]
			fits, err := p.fits(l)
			if err != nil {
				return err
			}
			if !fits {
				full[l.box] = true
			}
		}
	}
	var err error
	w.judged, w.full = true, full
	if w.lost, err = p.lost(w.turn); w.lost != nil {
		p.rivals++
	}
	return err
}

// fits tells whether there is room for one letter, where it goes or has to wait.
func (p *post) fits(l *letter) (bool, error) {
	if _, known, err := p.known(l); known || err != nil {
		return true, err
	}
	return p.s.opt.Door.Fits(&ledger{p, l}, p.now, &l.m)
}

// device is what a claim keeps of a device's name, which may tell whose it is.
func (k keyring) device(t *outbox.Turn) string {
	h := k.hash(claimKey, t.Account, t.Device)
	return string(h[:])
}

func (k keyring) claim(group []byte, epoch uint64, sender string) hashed {
	return k.hash(claimKey, string(group), string(binary.BigEndian.AppendUint64(nil, epoch)), sender)
}

func (p *post) claim(group []byte, epoch uint64, sender string) (outbox.Claim, bool, error) {
	value, err := get(p.txn, p.s.keys.claim(group, epoch, sender).key(claimKey))
	if isMissing(err) {
		return outbox.Claim{}, false, nil
	}
	if err != nil {
		return outbox.Claim{}, false, err
	}
	d := decoder{rest: value}
	c := outbox.Claim{Device: string(d.bytes()), Sent: string(d.bytes()), At: time.Unix(0, d.int())}
	return c, true, d.end()
}

// stake notes a commit, unless an earlier one of its sender still holds.
func (p *post) stake(c commit, sender, device, sent string) error {
	old, ok, err := p.claim(c.group, c.epoch, sender)
	if err != nil || ok && p.now.Sub(old.At) < outbox.HoldsFor {
		return err
	}
	value := appendBytes(appendBytes(nil, device), sent)
	value = appendUints(value, uint64(p.now.UnixNano()))
	return p.set(p.s.keys.claim(c.group, c.epoch, sender).key(claimKey), value, p.s.remembered())
}

// lost finds the commit that was before a local one, or nil.
func (p *post) lost(t *outbox.Turn) (*outbox.Lost, error) {
	if t == nil || !t.Commit {
		return nil, nil //nolint:nilnil // what is no commit loses to none
	}
	own, err := p.member(inbox.Owner(t.Account), t.Group)
	if err != nil {
		return nil, err
	}
	hashed := *t
	hashed.Device = p.s.keys.device(t)
	return hashed.Lost(p.now, own, func(epoch uint64, o inbox.Owner) (outbox.Claim, bool, error) {
		return p.claim(t.Group, epoch, inbox.LocalReader(o))
	})
}

// speak notes what a local submission means for its group and its conversation.
func (p *post) speak(sub outbox.Submission) error {
	for _, reader := range sub.Thread.Readers {
		if err := p.enlist(sub.Thread.ID, reader, sub.Activity); err != nil {
			return err
		}
	}
	t := sub.Turn
	if t == nil {
		return nil
	}
	if err := p.join(inbox.Owner(t.Account), t.Group, t.Epoch); err != nil || !t.Commit {
		return err
	}
	c := commit{t.Group, t.Epoch}
	if err := p.meet(c, t.Elsewhere...); err != nil {
		return err
	}
	return p.stake(c, inbox.LocalReader(inbox.Owner(t.Account)), p.s.keys.device(t), sub.Sent.Names[0])
}

// arrived notes the same of what came from elsewhere. It is kept whatever was before.
func (p *post) arrived(r *request) error {
	seen := map[string]bool{}
	for i := range r.letters {
		l := &r.letters[i]
		if r.results[i].Err != nil || seen[l.m.Actor+" "+l.m.ActivityID] {
			continue
		}
		seen[l.m.Actor+" "+l.m.ActivityID] = true
		if i == 0 && !r.follows { // else who sent it has it from an earlier try or request
			if err := p.enlist(l.m.Conversation, l.m.Actor, l.m.ActivityID); err != nil {
				return err
			}
		}
		if !l.m.Commit {
			continue
		}
		c := commit{l.m.Group, l.m.Epoch}
		if err := p.meet(c, r.owners()...); err != nil {
			return err
		}
		if err := p.stake(c, l.m.Actor, "", ""); err != nil {
			return err
		}
	}
	return nil
}

// owners are whose mailboxes a request is for, as readers.
func (r *request) owners() []string {
	list := make([]string, len(r.letters))
	for i := range r.letters {
		list[i] = inbox.LocalReader(r.letters[i].m.Owner)
	}
	return list
}

// meet counts a commit when one of the others' is for the same epoch.
func (p *post) meet(c commit, others ...string) error {
	for _, other := range others {
		if _, ok, err := p.claim(c.group, c.epoch, other); err != nil {
			return err
		} else if ok {
			p.rivals++
			return nil
		}
	}
	return nil
}

// member is zero for who has not sent in the group.
func (p *post) member(o inbox.Owner, group []byte) (inbox.Membership, error) {
	value, err := get(p.txn, p.s.keys.member(o, group).key(memberKey))
	if isMissing(err) {
		return inbox.Membership{}, nil
	}
	if err != nil {
		return inbox.Membership{}, err
	}
	return decodeMember(value)
}

// join notes that a person sends in a group, when that is news or long ago.
func (p *post) join(o inbox.Owner, group []byte, epoch uint64) error {
	old, err := p.member(o, group)
	if err != nil || !old.At.IsZero() && old.Epoch >= epoch && p.now.Sub(old.At) < membersKept/12 {
		return err
	}
	value := appendUints(nil, max(old.Epoch, epoch), uint64(p.now.UnixNano()))
	return p.set(p.s.keys.member(o, group).key(memberKey), value, membersKept)
}

func (k keyring) member(o inbox.Owner, group []byte) hashed {
	return k.hash(memberKey, string(o), string(group))
}

func decodeMember(value []byte) (inbox.Membership, error) {
	d := decoder{rest: value}
	m := inbox.Membership{Epoch: d.uint(), At: time.Unix(0, d.int()).UTC()}
	return m, d.end()
}

// Joined implements outbox.Store.
func (s *Store) Joined(ctx context.Context, o inbox.Owner, group []byte) (inbox.Membership, error) {
	value, err := s.read(ctx, s.keys.member(o, group).key(memberKey))
	if isMissing(err) {
		return inbox.Membership{}, inbox.ErrNotFound
	}
	if err != nil {
		return inbox.Membership{}, err
	}
	return decodeMember(value)
}
