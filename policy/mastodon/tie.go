package mastodon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// tieRewritten is how old a tie on the shelf may grow before it is written again though nothing changed:
// well within the shelf's 90 days.
const tieRewritten = 30 * 24 * time.Hour

// tie is what the instance said about one local person and one actor.
type tie struct {
	At                  time.Time
	Following, Follower bool
	Blocking, Muting    bool
	DomainBlocked       bool
	Limited, Suspended  bool      // by the instance's moderators, this account alone
	Bot                 bool      `json:",omitempty"`
	Created             time.Time `json:",omitzero"` // when the instance first knew the actor
	FollowerSince       time.Time `json:",omitzero"` // the latest it can have been; zero when that is not known
	isKnown             bool      // the instance knows the actor
}

// tieAnswer is a tie and until when it is not asked for again.
type tieAnswer struct {
	tie   tie
	until time.Time
}

// weighs says whether forgetting the tie would make a difference.
func (t tie) weighs() bool {
	return t.Following || t.Follower || t.Blocking || t.Muting || t.DomainBlocked || t.Suspended || t.Limited
}

// tie asks the instance, or gives its last answer; the zero tie when there never was one.
func (r *Relations) tie(ctx context.Context, account, actor string) tie {
	key := pair{account, actor}
	known, ok := r.ties.GetIfPresent(key)
	if ok && r.clock().Before(known.until) {
		return known.tie
	}
	if !ok {
		known.tie = r.keptTie(ctx, account, actor)
	}
	if r.isRefused() {
		return known.tie
	}
	ctx, cancel := context.WithTimeout(ctx, relationWait)
	defer cancel()
	found, err := once(ctx, r.Instance, "tie "+account+" "+actor, func(ctx context.Context) (tie, error) {
		t, err := r.askTie(ctx, account, actor, known.tie)
		if err == nil {
			r.learnTie(ctx, key, known.tie, t)
		}
		return t, err
	})
	if err == nil {
		return found
	}
	again := relationRetry
	if errors.Is(err, errNotHere) {
		again = relationFresh
	}
	r.noteAway(err)
	r.logRefusal("relationship", err)
	r.ties.Set(key, tieAnswer{known.tie, r.clock().Add(again)})
	return known.tie
}

// learnTie remembers a tie; the shelf only what weighs, and only when it changed.
func (r *Relations) learnTie(ctx context.Context, key pair, old, t tie) {
	r.ties.Set(key, tieAnswer{t, t.At.Add(relationFresh)})
	same := old
	same.At, same.isKnown = t.At, t.isKnown
	if same == t && (!t.weighs() || t.At.Sub(old.At) < tieRewritten) {
		return
	}
	var value []byte
	if t.weighs() {
		value = jsonOf(t)
	}
	r.keep(ctx, key.account, key.actor, value)
}

func (r *Relations) keptTie(ctx context.Context, account, actor string) tie {
	var t tie
	if value := r.kept(ctx, account, actor); value != nil && json.Unmarshal(value, &t) == nil {
		t.isKnown = true
	}
	return t
}

// relationship is Mastodon's Relationship, as far as it matters.
type relationship struct {
	ID             string `json:"id"`
	Following      bool   `json:"following"`
	FollowedBy     bool   `json:"followed_by"`
	Blocking       bool   `json:"blocking"`
	Muting         bool   `json:"muting"`
	DomainBlocking bool   `json:"domain_blocking"`
}

// askTie asks with the person's own token. An actor whom the instance does not know is nobody to them.
func (r *Relations) askTie(ctx context.Context, account, actor string, old tie) (tie, error) {
	token, err := r.token(ctx, account)
	if err != nil {
		return tie{}, fmt.Errorf("no token to ask with: %w", err)
	}
	a, err := r.remote(ctx, actor, token)
	if errors.Is(err, ErrNoPerson) {
		return tie{At: r.clock()}, nil
	}
	if err != nil {
		return tie{}, err
	}
	var list []relationship
	q := question{path: "/api/v1/accounts/relationships", query: url.Values{"id[]": {a.ID}}, token: token}
	if err := r.askOne(ctx, account, q, &list); err != nil {
		return tie{}, err
	}
	t := tie{At: r.clock(), Created: a.CreatedAt, Limited: a.Limited, Suspended: a.Suspended, Bot: a.Bot, isKnown: true}
	if len(list) == 1 && list[0].ID == a.ID {
		one := list[0]
		t.Following, t.Follower = one.Following, one.FollowedBy
		t.Blocking, t.Muting, t.DomainBlocked = one.Blocking, one.Muting, one.DomainBlocking
	}
	if t.Follower {
		t.FollowerSince = r.followerSince(ctx, account, token, a.ID, old)
	}
	return t, nil
}

// followerSince is what is known already, or what the instance tells, which is asked for only where it matters,
// or now for who did not follow a moment ago.
func (r *Relations) followerSince(ctx context.Context, account, token, from string, old tie) time.Time {
	if old.Follower && !old.FollowerSince.IsZero() {
		return old.FollowerSince
	}
	if r.lists(ctx, account).Notify.NotFollowers.bites() {
		if at := r.followedAt(ctx, account, token, from); !at.IsZero() {
			return at.UTC()
		}
	}
	if old.isKnown && !old.Follower {
		return r.clock().UTC().Round(0)
	}
	return time.Time{}
}
