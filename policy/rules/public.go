package rules

import (
	"slices"
	"strings"
)

// PublicRule is what everybody may know of a rule: where it stands, what it looks at and what it does;
// never its name, its thresholds, or whom a list of it names.
type PublicRule struct {
	At    Stage    `json:"stage"`
	Then  Action   `json:"action"`
	Looks []string `json:"looks_at"`
}

// publicWords are the variables as the public reads them, in the order of a sentence.
var publicWords = []struct{ variable, word string }{
	{"rel", "how the two people know each other"},
	{"actor.id", "who it is from"},
	{"actor.domain", "which server it is from"},
	{"actor.first_seen_days", "how long that server has been known"},
	{"msg.kind", "which kind of message it is"},
	{"msg.key_is_ours", "whether an invitation is to a key that was published here"},
	{"msg.bytes", "how large it is"},
	{"msg.recipients", "how many people it is for"},
	{"msg.hosts", "how many servers it is for"},
	{"group.joined", "whether the recipient is in the group"},
	{"server.load", "how busy this server is"},
	{"server.disk", "how full this server is"},
}

// Public are the kinds of the rules in force, in order, each kind once. Rules in mode shadow do nothing
// and are left out.
func (p *Policy) Public() []PublicRule {
	all := []PublicRule{}
	if p == nil || p.shadow {
		return all
	}
	for _, r := range p.rules {
		if one := r.public(); !r.shadow && !slices.ContainsFunc(all, one.same) {
			all = append(all, one)
		}
	}
	return all
}

func (r *rule) public() PublicRule {
	one := PublicRule{At: r.at, Then: r.then, Looks: []string{}}
	for _, w := range publicWords {
		if r.uses(w.variable) {
			one.Looks = append(one.Looks, w.word)
		}
	}
	if r.limit != nil {
		one.Looks = append(one.Looks, "how often it happens")
	}
	return one
}

func (r PublicRule) same(other PublicRule) bool {
	return r.At == other.At && r.Then == other.Then && slices.Equal(r.Looks, other.Looks)
}

// Sentence says the rule in words.
func (r PublicRule) Sentence() string {
	what := map[Stage]string{
		Contact: "Invitations and requests for keys", Group: "Messages in groups that people are in", Send: "What people here send",
	}[r.At]
	does := map[Action]string{
		Allow: "may be let through", Hold: "may have to wait until the recipient accepts them", Ignore: "may be dropped without a word",
		Refuse: "may be refused, and the sender is told why", RetryLater: "may be put off: the sender's server tries again",
		LastResort: "may get a key that others have, too", Hide: "are delivered, and may carry a label",
		Slow: "are delivered, and may come later, in order",
	}[r.Then]
	if len(r.Looks) == 0 {
		return what + " " + does + "."
	}
	return what + " " + does + ", depending on " + strings.Join(r.Looks, " and ") + "."
}
