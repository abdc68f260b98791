package mastodon

import (
	"slices"
	"time"

	"github.com/sealgate/sealgate/policy/rules"
)

// What is new to the notification policy (Mastodon's NotifyService).
const (
	newAccount  = 30 * 24 * time.Hour
	newFollower = 3 * 24 * time.Hour
)

// facts are what is known about a local person and an actor.
type facts struct {
	tie     tie
	own     *own
	domain  severity // what the instance does to the actor's
	isLocal bool
	names   []mark // of the actor: the id, and addresses they may have
	host    mark   // of the actor's domain
	now     time.Time
}

// relation puts what weighs most first, as Mastodon does: a block before everything; who is followed is
// not limited by moderators, nor by anything the person chose but about those who do not follow them.
func (f facts) relation(with rules.Inherit) rules.Rel {
	switch t := f.tie; {
	case with.DomainBlocks && t.Suspended, with.UserBlocks && f.isBlocked():
		return rules.Blocked
	case with.UserBlocks && f.isMuted():
		return rules.Muted
	case with.NotificationPolicy && f.choice() == choiceDrop:
		return rules.Blocked
	case with.NotificationPolicy && f.choice() == choiceFilter, with.DomainBlocks && f.isLimited() && !t.Following:
		return rules.Limited
	case t.Following && t.Follower:
		return rules.Mutual
	case t.Following:
		return rules.Following
	case t.Follower:
		return rules.Follower
	}
	return rules.Stranger
}

// isLimited is what moderators decided about the domain or the account.
func (f facts) isLimited() bool { return f.domain == silenced || f.tie.Limited }

// isBlocked includes the domain, but for whom the person follows there.
func (f facts) isBlocked() bool {
	t, o := f.tie, f.own
	return o.Blocked.says(t.At, t.Blocking, f.names...) || !t.Following && f.isDomainBlocked()
}

// isDomainBlocked: what the instance says of one actor counts for those it knows only.
func (f facts) isDomainBlocked() bool {
	var asked time.Time
	if f.tie.isKnown {
		asked = f.tie.At
	}
	return !f.isLocal && f.own.Domains.says(asked, f.tie.DomainBlocked, f.host)
}

func (f facts) isMuted() bool { return f.own.Muted.says(f.tie.At, f.tie.Muting, f.names...) }

// isFollower as the notification policy counts: for three days. Since when is not always known.
func (f facts) isFollower() bool {
	return f.tie.Follower && (f.tie.FollowerSince.IsZero() || f.now.Sub(f.tie.FollowerSince) >= newFollower)
}

// choice is the strictest of a person's choices that are about this actor, unless the person lets them
// through. An invitation is private, so the one about private mentions counts.
func (f facts) choice() choice {
	n, strictest := f.own.Notify, choiceAccept
	if slices.ContainsFunc(f.names, f.own.Permitted.has) {
		return strictest
	}
	weigh := func(applies bool, c choice) {
		if applies && (c == choiceDrop || c == choiceFilter && strictest != choiceDrop) {
			strictest = c
		}
	}
	stranger := !f.tie.Following
	weigh(!f.isFollower(), n.NotFollowers)
	weigh(stranger, n.NotFollowing)
	weigh(stranger, n.PrivateMentions)
	weigh(stranger && f.isLimited(), n.Limited)
	weigh(stranger && f.tie.Bot, n.Bots)
	weigh(stranger && !f.tie.Created.IsZero() && f.now.Sub(f.tie.Created) < newAccount, n.NewAccounts)
	return strictest
}
