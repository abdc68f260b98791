package rules

import (
	"fmt"
	"slices"
)

// allowed is the stage table: what may be done where.
var allowed = map[Stage][]Action{
	Contact: {Allow, Hold, Ignore, Refuse, RetryLater, LastResort},
	Group:   {Allow, Hide, Slow},
	Send:    {Allow, Refuse, RetryLater},
}

// breaks says why an action is at no stage but its own.
var breaks = map[Action]string{
	Hold:       "a held commit stops the group's epochs for this person while everybody else moves on",
	Ignore:     "one dropped commit breaks the epoch ratchet for everyone in the group",
	Refuse:     "one refused commit breaks the epoch ratchet for everyone in the group",
	RetryLater: "messages of a group that come late and out of order fork it",
	LastResort: "it answers a key fetch, and key fetches are at contact",
	Hide:       "there is nothing to label before a person has joined",
	Slow:       "only the messages of a joined group have an order that waiting can keep",
}

// Allowed says whether a rule may do this at that stage; the error says why not.
func Allowed(at Stage, do Action) error {
	may, known := allowed[at]
	switch {
	case !known:
		return fmt.Errorf("%q is no stage: contact, group or send", at)
	case slices.Contains(may, do):
		return nil
	case breaks[do] == "":
		return fmt.Errorf("%q is no action%s: at %s it is one of %v", do, meant(string(do), words(may)), at, may)
	case at == Send:
		return fmt.Errorf("%s is not possible at send, where a message has not left yet: it is one of %v", do, may)
	}
	return fmt.Errorf("%s is not possible at %s: %s; it is one of %v", do, at, breaks[do], may)
}

func words(actions []Action) []string {
	all := make([]string, len(actions))
	for i, a := range actions {
		all[i] = string(a)
	}
	return all
}

// acts says whether an action means anything for a message of this kind. At
// Contact only an invitation can be turned away or held, and only a key fetch be
// given the last resort; a rule that cannot act is passed over.
func acts(at Stage, do Action, kind string) bool {
	if at != Contact || do == Allow {
		return true
	}
	switch kind {
	case KindWelcome:
		return do != LastResort
	case KindKeyFetch:
		return do != Hold
	}
	return false
}
