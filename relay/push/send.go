package push

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy/actorkey"
)

const (
	keepFor     = "2419200" // TTL, RFC 8030 §5.2: four weeks, the most that services take
	firstPause  = 30 * time.Second
	longestHold = time.Hour
	maxFailures = 8 // in a row; then it is tried again only for another message
	maxHolding  = 100_000
)

// hold is a subscription whose service wants to be left alone.
type hold struct {
	until    time.Time
	failures int
	again    bool // it is to be tried when the time is over
}

var errGone = errors.New("push: the subscription has ended")

// laterError carries how long the service asked to wait; 0: it did not say.
type laterError struct{ wait time.Duration }

func (e *laterError) Error() string {
	return "push: the service cannot take it now, wait " + e.wait.String()
}

// push wakes the devices of t whose service is not held.
func (p *Pusher) push(t task) {
	list, err := p.List(p.ctx, t.owner)
	if err != nil {
		p.o.Log.Warn("push subscriptions could not be read", "error", err)
		return
	}
	for _, s := range list {
		if p.due(s.ID, t.whom) {
			p.settle(t.owner, s, p.send(p.ctx, s.Endpoint))
		}
	}
}

// send posts an empty message (RFC 8030 §5). Undelivered ones replace each other.
func (p *Pusher) send(ctx context.Context, endpoint string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, http.NoBody)
	if err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	auth, err := p.authorization(req.URL)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", auth)
	req.Header.Set("TTL", keepFor)
	req.Header.Set("Urgency", "high")
	req.Header.Set("Topic", "mailbox")
	res, err := p.o.Client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return nil
	case res.StatusCode == http.StatusNotFound, res.StatusCode == http.StatusGone:
		return errGone
	case res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusServiceUnavailable:
		return &laterError{wait: actorkey.RetryAfter(res, p.o.Clock(), longestHold)}
	}
	return fmt.Errorf("push: the service answers %d", res.StatusCode)
}

// settle does what the answer asks for.
func (p *Pusher) settle(o inbox.Owner, s Subscription, err error) {
	switch {
	case err == nil:
		p.count("sent")
		p.mu.Lock()
		delete(p.holding, s.ID)
		p.mu.Unlock()
		return
	case p.ctx.Err() != nil:
		return
	case errors.Is(err, errGone):
		p.count("gone")
		if err := p.Unsubscribe(p.ctx, o, s.ID); err != nil && !errors.Is(err, ErrNoSubscription) {
			p.o.Log.Warn("a push subscription that has ended could not be removed", "error", err)
		}
		return
	}
	wait := time.Duration(0)
	if later, ok := errors.AsType[*laterError](err); ok {
		p.count("later")
		wait = later.wait
	} else {
		p.count("failed")
		p.o.Log.Debug("a push could not be sent", "error", withoutURL(err))
	}
	wait = p.hold(s.ID, wait)
	time.AfterFunc(wait, func() {
		if p.isWanted(s.ID) {
			p.wake(task{o, failed})
		}
	})
}

// hold leaves a subscription alone for wait, or longer after each failure, and says how long.
func (p *Pusher) hold(id string, wait time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.holding) >= maxHolding {
		clear(p.holding)
	}
	h := p.holding[id]
	if wait <= 0 {
		wait = firstPause << min(h.failures, 7)
	}
	wait = min(wait, longestHold)
	p.holding[id] = hold{until: p.o.Clock().Add(wait), failures: min(h.failures+1, maxFailures), again: h.failures < maxFailures}
	return wait
}

func (p *Pusher) isWanted(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.holding[id].again
}

// due tells whether a subscription is one of whom, and not left alone. One that is, is tried when that is over.
func (p *Pusher) due(id string, whom devices) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, hasFailed := p.holding[id]
	if !p.o.Clock().Before(h.until) {
		return hasFailed || whom == all
	}
	if whom == all {
		h.again = true
		p.holding[id] = h
	}
	return false
}

func (p *Pusher) count(result string) { p.pushes.WithLabelValues(result).Inc() }

// withoutURL leaves out the endpoint, which is a secret and says whose device it is.
func withoutURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
