package intake

import (
	"github.com/sealgate/sealgate/authority"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/mls"
	"github.com/sealgate/sealgate/policy/rules"
)

// arrival is what an activity shows, the same for all its recipients.
type arrival struct {
	msg  rules.Msg // Kind is that of its first object; a Welcome counts over others
	refs [][]byte  // KeyPackageRefs in its Welcomes
}

func newArrival(a *activity.Activity) *arrival {
	out := &arrival{msg: rules.Msg{Bytes: len(a.Raw)}}
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
		if m.Welcome != nil {
			out.refs = append(out.refs, m.WelcomeRefs()...)
		}
	}
	return out
}
