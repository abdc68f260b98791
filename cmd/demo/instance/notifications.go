package instance

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Notice is something that somebody of another server did and a person is told of.
type Notice struct {
	From     *Remote
	Kind     string // mention, follow and so on
	Status   string // id of the post, "" without one
	At       time.Time
	Filtered bool // by the person's notification policy; the double does not decide it
}

// SetNotificationPolicy overrides the choices Mastodon presets: for_not_following and so on to accept, filter, drop.
func (i *Instance) SetNotificationPolicy(p *Person, choices map[string]string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p.notify = choices
}

// Notify tells p of n. A filtered mention makes a request of its sender's, or moves the one there is.
func (i *Instance) Notify(p *Person, n Notice) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p.notices = append(p.notices, n)
	if n.Filtered && n.Kind == "mention" && !slices.Contains(p.requests, n.From) {
		p.requests = append(p.requests, n.From)
	}
}

// Accept is p letting r through from now on: the request goes at once, the notifications appear when Unfilter
// is called, which Mastodon does in the background.
func (i *Instance) Accept(p *Person, r *Remote) (unfilter func()) {
	i.Dismiss(p, r)
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		for n := range p.notices {
			p.notices[n].Filtered = p.notices[n].Filtered && p.notices[n].From != r
		}
	}
}

// Dismiss takes the request of r away; what was filtered stays so.
func (i *Instance) Dismiss(p *Person, r *Remote) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p.requests = slices.DeleteFunc(p.requests, func(one *Remote) bool { return one == r })
}

func (i *Instance) serveNotificationPolicy(w http.ResponseWriter, r *http.Request) {
	p, ok := i.allowed(w, r, "read", "read:notifications")
	if !ok {
		return
	}
	entity := map[string]any{
		"for_not_following": "accept", "for_not_followers": "accept", "for_new_accounts": "accept",
		"for_private_mentions": "filter", "for_limited_accounts": "filter",
		"summary": map[string]int{"pending_requests_count": 0, "pending_notifications_count": 0},
	}
	i.mu.Lock()
	for key, choice := range p.notify {
		entity[key] = choice
	}
	i.mu.Unlock()
	writeTyped(w, "application/json; charset=utf-8", entity)
}

// serveNotificationRequests is newest first.
func (i *Instance) serveNotificationRequests(w http.ResponseWriter, r *http.Request) {
	p, ok := i.allowed(w, r, "read", "read:notifications")
	if !ok {
		return
	}
	i.mu.Lock()
	list := []any{}
	for n, from := range slices.Backward(p.requests) {
		last := ""
		for _, notice := range p.notices {
			if notice.From == from && notice.Filtered && notice.Kind == "mention" {
				last = notice.Status
			}
		}
		list = append(list, map[string]any{
			"id": strconv.Itoa(n + 1), "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z",
			"notifications_count": "1", "account": from.entity(), "last_status": map[string]any{"id": last},
		})
	}
	i.mu.Unlock()
	i.servePages(w, r, 40, 80, list)
}

// serveNotifications knows account_id, types[] and include_filtered.
func (i *Instance) serveNotifications(w http.ResponseWriter, r *http.Request) {
	p, ok := i.allowed(w, r, "read", "read:notifications")
	if !ok {
		return
	}
	q := r.URL.Query()
	list := []any{}
	i.mu.Lock()
	for n, notice := range slices.Backward(p.notices) {
		if notice.Filtered && q.Get("include_filtered") != "true" || q.Has("account_id") && notice.From.Account != q.Get("account_id") ||
			q.Has("types[]") && !slices.Contains(q["types[]"], notice.Kind) {
			continue
		}
		entity := map[string]any{
			"id": strconv.Itoa(n + 1), "type": notice.Kind, "account": notice.From.entity(),
			"created_at": notice.At.UTC().Format("2006-01-02T15:04:05.000Z"),
		}
		if notice.Status != "" {
			entity["status"] = map[string]any{"id": notice.Status}
		}
		list = append(list, entity)
	}
	i.mu.Unlock()
	i.servePages(w, r, 40, 80, list)
}
