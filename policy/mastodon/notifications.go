package mastodon

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"
)

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
	Bots            choice `json:"for_bots"`
}

// acceptsAll says whether everybody notifies the person.
func (n notify) acceptsAll() bool {
	return !slices.ContainsFunc([]choice{n.NotFollowing, n.NotFollowers, n.NewAccounts, n.PrivateMentions, n.Limited, n.Bots}, choice.bites)
}

func (c choice) bites() bool { return c == choiceFilter || c == choiceDrop }

const (
	maxWaiting   = 80    // one page of requests, the newest
	maxPermitted = 1_000 // the first
	maxID        = 40    // characters in an id of the instance that is kept
)

// waiting is a notification request: somebody whose notifications are filtered, and the post that the last of
// them was about.
type waiting struct {
	Account, Status string
	Gone            bool `json:",omitempty"` // it was away at the last look: accepting it takes Mastodon a moment
}

// notification is Mastodon's Notification, as far as it matters, and its NotificationRequest, which calls the
// post last_status.
type notification struct {
	CreatedAt  time.Time `json:"created_at"`
	Account    account   `json:"account"`
	Status     post      `json:"status"`
	LastStatus post      `json:"last_status"`
}

type post struct {
	ID string `json:"id"`
}

// askNotifications fills what o has of the notification policy. The API does not say whom a person has let
// through, so it is seen happen: a request is there, then it is not, and its post is among the notifications
// that are not filtered. Of one that was dismissed it stays filtered.
func (r *Relations) askNotifications(ctx context.Context, account, token string, o *own) error {
	var n notify
	if err := r.askOne(ctx, account, question{path: "/api/v2/notifications/policy", token: token}, &n); err != nil {
		return err
	}
	o.Notify = n
	if n.acceptsAll() {
		o.Waiting = nil
		return nil
	}
	var page []notification
	q := question{path: "/api/v1/notifications/requests", query: url.Values{"limit": {strconv.Itoa(maxWaiting)}}, token: token, most: maxListAnswer}
	if err := r.askOne(ctx, account, q, &page); err != nil {
		return err
	}
	return r.settle(ctx, account, token, o, waitingOf(page))
}

// waitingOf leaves out requests without a post: whether they are accepted cannot be seen.
func waitingOf(page []notification) []waiting {
	var list []waiting
	for _, n := range page[:min(len(page), maxWaiting)] {
		w := waiting{Account: n.Account.ID, Status: n.LastStatus.ID}
		if w.Account != "" && w.Status != "" && max(len(w.Account), len(w.Status)) <= maxID {
			list = append(list, w)
		}
	}
	return list
}

// settle finds out what became of the requests that are no longer there, looking twice.
func (r *Relations) settle(ctx context.Context, account, token string, o *own, here []waiting) error {
	for _, w := range o.Waiting {
		if slices.ContainsFunc(here, func(h waiting) bool { return h.Account == w.Account }) {
			continue
		}
		found, err := r.notifications(ctx, account, token, url.Values{"account_id": {w.Account}, "types[]": {"mention"}})
		if err != nil {
			return err
		}
		i := slices.IndexFunc(found, func(n notification) bool { return n.Status.ID == w.Status })
		switch {
		case i >= 0 && found[i].Account.URI != "":
			o.Permitted = o.Permitted.with(markOf(found[i].Account.URI), maxPermitted)
		case !w.Gone && len(here) < maxWaiting:
			w.Gone = true
			here = append(here, w)
		}
	}
	o.Waiting = here
	return nil
}

// notifications are the newest that the query's account_id caused, the filtered ones only on request.
func (r *Relations) notifications(ctx context.Context, account, token string, query url.Values) ([]notification, error) {
	var found []notification
	err := r.askOne(ctx, account, question{path: "/api/v1/notifications", query: query, token: token, most: maxListAnswer}, &found)
	return slices.DeleteFunc(found, func(n notification) bool { return n.Account.ID != query.Get("account_id") }), err
}

// followedAt is when somebody began to follow, zero when the instance does not tell: the person has removed the
// notification, or has those of strangers dropped.
func (r *Relations) followedAt(ctx context.Context, account, token, from string) time.Time {
	found, err := r.notifications(ctx, account, token, url.Values{"account_id": {from}, "types[]": {"follow"}, "include_filtered": {"true"}})
	if err != nil || len(found) == 0 {
		return time.Time{}
	}
	return found[0].CreatedAt
}
