package mastodon_test

import (
	"testing"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/policy/rules"
)

const stale = 16 * time.Minute

// choose sets alice's notification policy, and lets the gateway learn it.
func (w *town) choose(t *testing.T, key, choice string) {
	t.Helper()
	w.sample.SetNotificationPolicy(w.alice, map[string]string{"for_private_mentions": "accept", "for_limited_accounts": "accept", key: choice})
	w.clock.turn(stale)
	w.connect(t)
}

// TestWhoFollowsForThreeDaysIsAFollower: the notification says since when, also one that is filtered.
func TestWhoFollowsForThreeDaysIsAFollower(t *testing.T) {
	for _, choice := range []string{"filter", "drop"} {
		w := newTown(t)
		w.choose(t, "for_not_followers", choice)
		shut := map[string]rules.Rel{"filter": rules.Limited, "drop": rules.Blocked}[choice]
		fan, both, old := w.know("fan.example", instance.Tie{FollowedBy: true}), w.know("both.example", instance.Tie{Following: true, FollowedBy: true}),
			w.know("old.example", instance.Tie{FollowedBy: true})
		for _, r := range []*instance.Remote{fan, both} {
			w.sample.Notify(w.alice, instance.Notice{From: r, Kind: "follow", At: w.clock.time().Add(-71 * time.Hour), Filtered: true})
		}
		w.sample.Notify(w.alice, instance.Notice{From: fan, Kind: "mention", Status: "1", At: w.clock.time()})
		w.want(t, fan.Actor, shut)
		w.want(t, both.Actor, shut)
		w.want(t, old.Actor, rules.Follower) // its notification is no longer there
		w.wantWith(t, fan.Actor, rules.Follower, rules.Inherit{UserBlocks: true})
		w.clock.turn(2 * time.Hour)
		w.connect(t)
		w.want(t, fan.Actor, rules.Follower)
		w.want(t, both.Actor, rules.Mutual)
		w.want(t, old.Actor, rules.Follower)
		if n := w.sample.Asked("GET", "/api/v1/notifications"); n != 4 { // of old twice
			t.Errorf("asked %d times since when somebody follows", n)
		}
	}
}

// TestAFollowerThatWasSeenToComeIsNew: where no notification says it, the change does.
func TestAFollowerThatWasSeenToComeIsNew(t *testing.T) {
	w := newTown(t)
	w.choose(t, "for_not_followers", "drop")
	fan := w.know("fan.example", instance.Tie{})
	w.want(t, fan.Actor, rules.Blocked)
	w.sample.Relate(w.alice, fan, instance.Tie{FollowedBy: true})
	w.clock.turn(stale)
	w.connect(t)
	w.want(t, fan.Actor, rules.Blocked)
	w.wantWith(t, fan.Actor, rules.Follower, rules.Inherit{})
	w.start(t) // the shelf knows it, too
	w.clock.turn(71 * time.Hour)
	w.connect(t)
	w.want(t, fan.Actor, rules.Blocked)
	w.clock.turn(2 * time.Hour)
	w.connect(t)
	w.want(t, fan.Actor, rules.Follower)
}

// TestWhoIsLetThroughIsNotFiltered: a request that was accepted is seen by its post, one that was dismissed changes
// nothing, and neither does what the sender did before.
func TestWhoIsLetThroughIsNotFiltered(t *testing.T) {
	w := newTown(t)
	welcome, pest := w.know("welcome.example", instance.Tie{}), w.know("pest.example", instance.Tie{})
	for _, r := range []*instance.Remote{welcome, pest} {
		w.sample.Notify(w.alice, instance.Notice{From: r, Kind: "mention", Status: "public " + r.Host, At: w.clock.time()})
		w.sample.Notify(w.alice, instance.Notice{From: r, Kind: "mention", Status: "private " + r.Host, At: w.clock.time(), Filtered: true})
	}
	w.choose(t, "for_not_following", "drop")
	w.want(t, welcome.Actor, rules.Blocked)
	unfilter := w.sample.Accept(w.alice, welcome)
	w.sample.Dismiss(w.alice, pest)
	w.clock.turn(stale)
	w.connect(t)
	w.want(t, welcome.Actor, rules.Blocked) // Mastodon is not done yet
	unfilter()
	w.start(t)
	w.clock.turn(stale)
	w.connect(t)
	w.want(t, welcome.Actor, rules.Stranger)
	w.want(t, pest.Actor, rules.Blocked)

	w.away.Store(true)
	w.start(t)
	w.want(t, welcome.Actor, rules.Stranger)
	w.away.Store(false)
	before := w.sample.Asked("GET", "/api/v1/notifications")
	w.clock.turn(stale)
	w.connect(t)
	if n := w.sample.Asked("GET", "/api/v1/notifications") - before; n != 0 {
		t.Errorf("what became of a request was asked %d times more", n)
	}
	w.sample.Relate(w.alice, welcome, instance.Tie{Blocking: true})
	w.clock.turn(stale)
	w.connect(t)
	w.want(t, welcome.Actor, rules.Blocked) // no permission is stronger than a block
}

// TestATokenThatMayNotSeeNotificationsChangesNothing: the rest of the person's lists is learnt all the same.
func TestATokenThatMayNotSeeNotificationsChangesNothing(t *testing.T) {
	w := newTown(t)
	troll := w.know("troll.example", instance.Tie{Blocking: true})
	w.sample.SetNotificationPolicy(w.alice, map[string]string{"for_not_following": "drop"})
	w.token = w.sample.Token(w.alice, "profile", "read:follows", "read:blocks")
	w.connect(t)
	w.want(t, "https://never.example/users/heard", rules.Stranger)
	w.away.Store(true)
	w.want(t, troll.Actor, rules.Blocked)
}
