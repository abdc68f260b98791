package push

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

const (
	maxSubscriptions = 16 // of one person; the oldest makes room
	maxEndpoint      = 2048
)

// Subscription is where one device wants to be woken. ID is derived from the
// endpoint, which is a secret between the device and its push service.
type Subscription struct {
	ID       string    `json:"id"`
	Endpoint string    `json:"endpoint"`
	Created  time.Time `json:"created"`
}

// Subscribe keeps a subscription, durably, and answers it. The same endpoint again
// is the same subscription.
func (p *Pusher) Subscribe(ctx context.Context, o inbox.Owner, endpoint string) (Subscription, error) {
	if err := p.checkEndpoint(endpoint); err != nil {
		return Subscription{}, err
	}
	sum := sha256.Sum256([]byte(endpoint))
	s := Subscription{ID: hex.EncodeToString(sum[:16]), Endpoint: endpoint, Created: p.o.Clock().UTC().Truncate(time.Second)}
	err := p.change(ctx, o, func(list []Subscription) []Subscription {
		if i := slices.IndexFunc(list, func(one Subscription) bool { return one.ID == s.ID }); i >= 0 {
			s = list[i]
			return list
		}
		list = append(list, s)
		return list[max(0, len(list)-maxSubscriptions):]
	})
	return s, err
}

// Unsubscribe forgets the subscription with this id or endpoint, or answers
// ErrNoSubscription.
func (p *Pusher) Unsubscribe(ctx context.Context, o inbox.Owner, id string) error {
	found := false
	err := p.change(ctx, o, func(list []Subscription) []Subscription {
		return slices.DeleteFunc(list, func(s Subscription) bool {
			hit := s.ID == id || s.Endpoint == id
			found = found || hit
			return hit
		})
	})
	if err == nil && !found {
		err = ErrNoSubscription
	}
	return err
}

// List gives a person's subscriptions, the oldest first.
func (p *Pusher) List(ctx context.Context, o inbox.Owner) ([]Subscription, error) {
	value, err := p.o.Values.Kept(ctx, valueName(o))
	if errors.Is(err, inbox.ErrNotFound) {
		return nil, nil
	}
	var list []Subscription
	if err == nil {
		err = json.Unmarshal(value, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("read push subscriptions: %w", err)
	}
	return list, nil
}

func (p *Pusher) change(ctx context.Context, o inbox.Owner, f func([]Subscription) []Subscription) error {
	p.changing.Lock()
	defer p.changing.Unlock()
	list, err := p.List(ctx, o)
	if err != nil {
		return err
	}
	changed := f(slices.Clone(list))
	if slices.Equal(list, changed) {
		return nil
	}
	value, err := json.Marshal(changed)
	if err != nil {
		return err
	}
	if err := p.o.Values.Keep(ctx, valueName(o), value); err != nil {
		return fmt.Errorf("keep push subscriptions: %w", err)
	}
	return nil
}

func (p *Pusher) checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || len(endpoint) > maxEndpoint || u.Host == "" || u.User != nil || u.Fragment != "" {
		return ErrEndpoint
	}
	if u.Scheme == "https" || u.Scheme == "http" && p.o.AllowPlainHTTP {
		return nil
	}
	return ErrEndpoint
}

func valueName(o inbox.Owner) string { return "push/" + string(o) }
