package outbox

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/maypok86/otter/v2"

	"github.com/sealgate/sealgate/inbox/activity"
)

// laneNames says which queue a message belongs in: that of its MLS group. A
// Welcome hides its group; it goes where its sender's messages of the same context
// go, and the group's first message goes after it. What is remembered for that is
// bounded and is read again from the queue at a start.
type laneNames struct {
	known *otter.Cache[string, string]
}

func newLaneNames() *laneNames {
	return &laneNames{known: newCache[string](20000)}
}

// name is the lane's name, the same for all hosts, and what leads to it. given is
// the conversation that the activity was given here: its sender may not know it yet.
func (l *laneNames) name(from Sender, a *activity.Activity, given string) (name string, ways []string) {
	group, context := "", a.Tag()
	if id := groupOf(a); id != nil {
		group = "group " + hex.EncodeToString(id)
	}
	if context == given {
		context = ""
	}
	last, invited := "last "+from.Account, "invited "+from.Account // where there is no context
	if context != "" {
		context = "context " + from.Account + " " + context
		last, invited = context, context
	}
	ways = []string{last}
	if group == "" {
		name = l.first(last, "welcome "+from.Account+" "+context)
		ways = append(ways, invited)
	} else {
		name = l.first(group, l.first(invited, group))
		ways = append(ways, group)
		if context == "" {
			l.known.Invalidate(invited) // the next group is another one
		}
	}
	if given != "" {
		ways = append(ways, "context "+from.Account+" "+given)
	}
	l.learn(name, ways)
	return name, ways
}

func (l *laneNames) first(way, otherwise string) string {
	if name, ok := l.known.GetIfPresent(way); ok {
		return name
	}
	return otherwise
}

// learn is also for deliveries that were queued before a restart.
func (l *laneNames) learn(name string, ways []string) {
	for _, way := range ways {
		l.known.Set(way, name)
	}
}

// groupOf is the MLS group of an activity.
func groupOf(a *activity.Activity) []byte {
	id, _, _ := groupIn(a)
	return id
}

func laneOf(name, host string) Lane {
	sum := sha256.Sum256([]byte(host + "\x00" + name))
	return Lane(sum[:16])
}
