package outboxtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay/outbox"
)

// order is a Memory's outbox.Order: what was noted with Submit. Of what arrives it
// knows nothing.
type order struct {
	claims  map[string]outbox.Claim
	members map[string]inbox.Membership
	lines   map[string][]inbox.Line
	seq     uint64
}

func claimName(group []byte, epoch uint64, o inbox.Owner) string {
	return fmt.Sprintf("%x %d %s", group, epoch, o)
}

func (d *order) lost(t *outbox.Turn) (*outbox.Lost, error) {
	if t == nil || !t.Commit {
		return nil, nil //nolint:nilnil // what is no commit loses to none
	}
	own := d.members[claimName(t.Group, 0, inbox.Owner(t.Account))]
	return t.Lost(time.Now(), own, func(epoch uint64, o inbox.Owner) (outbox.Claim, bool, error) {
		c, ok := d.claims[claimName(t.Group, epoch, o)]
		return c, ok, nil
	})
}

func (d *order) note(s outbox.Submission) {
	if d.claims == nil {
		d.claims, d.members, d.lines = map[string]outbox.Claim{}, map[string]inbox.Membership{}, map[string][]inbox.Line{}
	}
	for i := range s.Messages {
		d.enlist(s.Messages[i].Conversation, inbox.LocalReader(s.Messages[i].Owner), s.Messages[i].ActivityID)
	}
	for _, reader := range s.Thread.Readers {
		d.enlist(s.Thread.ID, reader, s.Activity)
	}
	t := s.Turn
	if t == nil {
		return
	}
	now, o := time.Now(), inbox.Owner(t.Account)
	name := claimName(t.Group, 0, o)
	d.members[name] = inbox.Membership{Epoch: max(d.members[name].Epoch, t.Epoch), At: now}
	name = claimName(t.Group, t.Epoch, o)
	if old, ok := d.claims[name]; t.Commit && (!ok || now.Sub(old.At) >= outbox.HoldsFor) {
		d.claims[name] = outbox.Claim{Device: t.Device, Sent: s.Sent.Names[0], At: now}
	}
}

func (d *order) enlist(id, reader, activity string) {
	if id == "" {
		return
	}
	d.seq++
	d.lines[id+" "+reader] = append(d.lines[id+" "+reader], inbox.Line{Seq: d.seq, ActivityID: activity})
}

// ThreadID implements outbox.Order.
func (m *Memory) ThreadID(group []byte) string {
	sum := sha256.Sum256(group)
	return hex.EncodeToString(sum[:16])
}

// Thread implements outbox.Order.
func (m *Memory) Thread(ctx context.Context, id, reader string, behind uint64, limit int) ([]inbox.Line, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []inbox.Line
	for _, l := range m.order.lines[id+" "+reader] {
		if l.Seq > behind && len(out) < limit {
			out = append(out, l)
		}
	}
	return out, ctx.Err()
}

// ThreadSize implements outbox.Order.
func (m *Memory) ThreadSize(ctx context.Context, id, reader string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.order.lines[id+" "+reader]), ctx.Err()
}

// Joined implements outbox.Order.
func (m *Memory) Joined(ctx context.Context, o inbox.Owner, group []byte) (inbox.Membership, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	one, ok := m.order.members[claimName(group, 0, o)]
	if !ok {
		return one, inbox.ErrNotFound
	}
	return one, ctx.Err()
}
