package mastodon

import (
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

// newAccount is how young an account is new to the notification policy (Mastodon's NotifyService).
const newAccount = 30 * 24 * time.Hour

// facts are what is known about a local person and an actor.
type facts struct {
	tie     tie
	own     *own
	domain  severity // what the instance does to the actor's
	isLocal bool
	mark    mark // of the actor
	host    mark // of the actor's domain
	now     time.Time
}

// relation puts what weighs most first, as Mastodon does: a block before everything; who is followed is
// never limited.
func (f facts) relation(with rules.Inherit) rules.Rel {
	switch t := f.tie; {
	case with.DomainBlocks && t.Suspended, with.UserBlocks && f.isBlocked():
		return rules.Blocked
	case with.UserBlocks && f.isMuted():
		return rules.Muted
	case t.Following && t.Follower:
		return rules.Mutual
	case t.Following:
		return rules.Following
	case with.NotificationPolicy && f.choice() == choiceDrop:
		return rules.Blocked
	case with.NotificationPolicy && f.choice() == choiceFilter, with.DomainBlocks && f.isLimited():
		return rules.Limited
	case t.Follower:
		return rules.Follower
	}
	return rules.Stranger
}

// isLimited is what moderators decided about the domain or the account.
func (f facts) isLimited() bool { return f.domain == silenced || f.tie.Limited }

// isBlocked goes by whichever of the two answers is younger.
func (f facts) isBlocked() bool {
	if f.own.At.After(f.tie.At) {
		return f.own.Blocked.has(f.mark) || !f.isLocal && f.own.Domains.has(f.host)
	}
	return f.tie.Blocking || f.tie.DomainBlocked || !f.tie.isKnown && !f.isLocal && f.own.Domains.has(f.host)
}

func (f facts) isMuted() bool {
	if f.own.At.After(f.tie.At) {
		return f.own.Muted.has(f.mark)
	}
	return f.tie.Muting
}

// choice is the strictest of a person's choices that are about somebody they do not follow. An
// invitation is private, so the one about private mentions counts.
func (f facts) choice() choice {
	n := f.own.Notify
	list := []choice{n.NotFollowing, n.PrivateMentions}
	if !f.tie.Follower {
		list = append(list, n.NotFollowers)
	}
	if f.isLimited() {
		list = append(list, n.Limited)
	}
	if !f.tie.Created.IsZero() && f.now.Sub(f.tie.Created) < newAccount {
		list = append(list, n.NewAccounts)
	}
	strictest := choiceAccept
	for _, c := range list {
		if c == choiceDrop || c == choiceFilter && strictest != choiceDrop {
			strictest = c
		}
	}
	return strictest
}

// choice is accept, filter or drop (Mastodon's NotificationPolicy, API v2).
type choice string

const (
	choiceAccept choice = "accept"
	choiceFilter choice = "filter"
	choiceDrop   choice = "drop"
)

// notify is a person's notification policy; empty choices accept.
type notify struct {
	NotFollowing    choice `json:"for_not_following"`
	NotFollowers    choice `json:"for_not_followers"`
	NewAccounts     choice `json:"for_new_accounts"`
	PrivateMentions choice `json:"for_private_mentions"`
	Limited         choice `json:"for_limited_accounts"`
}
