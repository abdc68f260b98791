package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/sealgate/sealgate/authority"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/mls"
	"github.com/sealgate/sealgate/policy/rules"
)

// arrival is what an activity shows, the same for all its recipients.
type arrival struct {
	msg      rules.Msg            // Kind is that of its first object; a Welcome counts over others
	contents string               // stands for its MLS messages
	invites  map[inbox.Owner]bool // whose packages its Welcomes name; see Intake.lookUp
}

func newArrival(a *activity.Activity) *arrival {
	out := &arrival{msg: rules.Msg{Bytes: len(a.Raw)}, contents: contentsOf(a)}
	hosts := map[string]bool{}
	for _, id := range a.Recipients() {
		if host := authority.Of(id); host != "" && !activity.IsPublic(id) {
			hosts[host] = true
			out.msg.Recipients++
		}
	}
	out.msg.Hosts = len(hosts)
	for _, o := range a.Objects {
		m, err := mls.Parse(o.Content)
		if err != nil {
			continue
		}
		if kind := m.Kind(); out.msg.Kind == "" || kind == mls.KindWelcome {
			out.msg.Kind = kind
		}
	}
	return out
}

// lookUp finds out, once for all recipients, by whom the packages that the activity's Welcomes name were published here.
func (in *Intake) lookUp(ctx context.Context, a *activity.Activity) (map[inbox.Owner]bool, error) {
	owners := map[inbox.Owner]bool{}
	if in.o.Keys == nil {
		return owners, nil
	}
	for _, ref := range inbox.WelcomeRefs(a) {
		owner, err := in.o.Keys.OwnerOf(ctx, ref)
		if errors.Is(err, inbox.ErrNoPackage) {
			continue
		}
		if err != nil {
			return nil, err
		}
		owners[owner] = true
	}
	return owners, nil
}

// contentsOf is a hash of the MLS messages in an activity, "" when it has none.
func contentsOf(a *activity.Activity) string {
	sum, isEmpty := sha256.New(), true
	for _, o := range a.Objects {
		one := sha256.Sum256(o.Content)
		sum.Write(one[:])
		isEmpty = isEmpty && o.Content == nil
	}
	if isEmpty { // a Delete or Remove
		return ""
	}
	return "sha256 " + hex.EncodeToString(sum.Sum(nil))
}
