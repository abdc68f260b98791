package inbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/mls"
)

// WelcomeRefs are the KeyPackageRefs in an activity's Welcomes, in order. What is shorter than a hash is nobody's, and left out: there
// can be very many.
func WelcomeRefs(a *activity.Activity) (refs [][]byte) {
	for _, o := range a.Objects {
		m, err := mls.Parse(o.Content)
		if err != nil {
			continue
		}
		for _, ref := range m.WelcomeRefs() {
			if len(ref) >= sha256.Size { // see RefOf
				refs = append(refs, ref)
			}
		}
	}
	return refs
}

// ConsumeKept is Consume of what kept messages of o's name: of those about to leave a request, for Inbox.OnRelease, or of one
// that was delivered before.
func (d *Directory) ConsumeKept(ctx context.Context, o Owner, ms []Message) error {
	for i := range ms {
		if ms[i].Kind != mls.KindWelcome {
			continue
		}
		a, err := activity.Parse(ms[i].Activity, activity.Limits{})
		if err != nil {
			continue // it was read when it was taken: another version did that, and its package stays listed
		}
		if err := d.Consume(ctx, []Owner{o}, WelcomeRefs(a)); err != nil {
			return err
		}
	}
	return nil
}

// Consume takes out of the directory what a Welcome has used: of each device of
// the owners, the package that the first of refs to name one of its means. It
// leaves, unless it is the last resort or its device has nothing else; then it
// stays and is Used. Consume is idempotent: the same refs again change nothing.
func (d *Directory) Consume(ctx context.Context, owners []Owner, refs [][]byte) error {
	used, err := d.traced(ctx, owners, refs)
	if err != nil {
		return fmt.Errorf("find the key packages of a Welcome: %w", err)
	}
	for _, o := range owners {
		if len(used[o]) == 0 {
			continue
		}
		err := d.change(ctx, o, "", func(c *clerk) error {
			for _, ref := range used[o] {
				c.consume(ref)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("consume key packages: %w", err)
		}
	}
	return nil
}

// traced sorts refs by whose they are. Of a device only the first counts, also
// when that one has gone long since: else a Welcome sent again would use up another.
func (d *Directory) traced(ctx context.Context, owners []Owner, refs [][]byte) (map[Owner][][]byte, error) {
	out := map[Owner][][]byte{}
	seen := map[string]bool{}
	for _, ref := range refs {
		trace, err := d.o.Store.Trace(ctx, refTrace(ref))
		if errors.Is(err, ErrNoPackage) {
			continue
		}
		if err != nil {
			return nil, err
		}
		device := string(trace.Owner) + " " + trace.Device
		if !slices.Contains(owners, trace.Owner) || seen[device] {
			continue
		}
		seen[device] = true
		out[trace.Owner] = append(out[trace.Owner], ref)
	}
	return out, nil
}

// consume marks or drops one package. It does not matter who had it reserved.
func (c *clerk) consume(ref []byte) {
	i := c.holds(ref)
	if i < 0 {
		return
	}
	p := &c.Packages[i]
	stays := p.LastResort || (p.State != Proposed && c.openOf(p.Device, c.now) == 1)
	if !stays {
		c.watch(p.Device, func() { c.Packages = slices.Concat(c.Packages[:i], c.Packages[i+1:]) })
		return
	}
	p.Hold = Hold{}
	if p.State == Used {
		return
	}
	device, id := p.Device, p.ID
	c.watch(device, func() { p.State = Used })
	c.notify(Notice{Kind: LastResortUsed, At: c.now, Device: device, Name: c.name(device), Package: id})
}
