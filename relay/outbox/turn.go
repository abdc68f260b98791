package outbox

import (
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// Turn is a submission's place in the order of its group.
type Turn struct {
	Group  []byte
	Epoch  uint64
	Commit bool

	Account, Device string
	Against         []inbox.Owner // members here, as the sender sees it: their earlier commit for the epoch holds
	Elsewhere       []string      // members elsewhere: their commits are counted
}

// HoldsFor is how long a commit keeps its epoch from another's. A server cannot tell
// a commit that nobody can apply; members must not be stuck with one. It holds for
// good for whoever has sent in a later epoch since.
const HoldsFor = 10 * time.Minute

// Lost says which commit was first, and where the group stands since.
type Lost struct {
	Sent  string // Names[0] of the winner
	Epoch uint64
}

// Claim is the commit for an epoch that one of a person's devices made.
type Claim struct {
	Device, Sent string
	At           time.Time
}

// maxEpochs is how many are looked through for where a group stands.
const maxEpochs = 64

// Lost is the rule of one commit for an epoch: what was before t now, nil when
// nothing was. own is what t's sender has shown of the group, claim gives what a
// person has claimed.
func (t *Turn) Lost(now time.Time, own inbox.Membership, claim func(uint64, inbox.Owner) (Claim, bool, error)) (*Lost, error) {
	first := func(epoch uint64) (won *Claim, err error) {
		for _, o := range append([]inbox.Owner{inbox.Owner(t.Account)}, t.Against...) {
			c, ok, err := claim(epoch, o)
			if err != nil {
				return nil, err
			}
			isOwn := string(o) == t.Account && c.Device == t.Device
			holds := now.Sub(c.At) < HoldsFor || own.Epoch > epoch
			if ok && !isOwn && holds && (won == nil || c.At.Before(won.At)) {
				won = &c
			}
		}
		return won, nil
	}
	won, err := first(t.Epoch)
	if won == nil || err != nil {
		return nil, err
	}
	lost := &Lost{Sent: won.Sent, Epoch: t.Epoch + 1}
	for range maxEpochs {
		next, err := first(lost.Epoch)
		if next == nil || err != nil {
			return lost, err
		}
		lost.Epoch++
	}
	return lost, nil
}
