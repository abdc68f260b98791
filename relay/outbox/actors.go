package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/sealgate/sealgate/policy/actorkey"
)

// What can be learnt about a recipient elsewhere instead of their inbox.
var (
	errNotActor    = errors.New("outbox: not an actor")
	errGone        = fmt.Errorf("%w any more: its server answers 410", errNotActor)
	errUnreachable = errors.New("outbox: recipient's server does not answer")
)

const (
	actorFresh = 24 * time.Hour
	actorBad   = time.Minute
	maxActors  = 20000
)

// address is where an actor's mail goes.
type address struct {
	inbox, shared string
	err           error
	until         time.Time
}

// actors finds recipients' inboxes and remembers them, in a bounded cache with
// one fetch per actor in flight.
type actors struct {
	documents actorkey.Documents
	clock     func() time.Time
	known     *otter.Cache[string, address]
	asking    singleflight.Group
}

func newActors(o Options) *actors {
	return &actors{
		documents: actorkey.Documents{Client: o.Client, Sign: o.Sign}, clock: o.Clock,
		known: newCache[address](maxActors),
	}
}

// find gives an actor's address, from memory while it is fresh. The errors are
// errNotActor, errGone which is one, and errUnreachable.
func (a *actors) find(ctx context.Context, id string) (address, error) {
	if known, ok := a.fresh(id); ok {
		return known, known.err
	}
	return a.once(ctx, id, func(ctx context.Context) address {
		if known, ok := a.fresh(id); ok { // somebody's fetch ended while we came here
			return known
		}
		return a.ask(ctx, id)
	})
}

// refresh asks anew.
func (a *actors) refresh(ctx context.Context, id string) (address, error) {
	return a.once(ctx, id, func(ctx context.Context) address { return a.ask(ctx, id) })
}

func (a *actors) fresh(id string) (address, bool) {
	known, ok := a.known.GetIfPresent(id)
	return known, ok && a.clock().Before(known.until)
}

// once runs f, or waits for who does so for the same actor.
func (a *actors) once(ctx context.Context, id string, f func(context.Context) address) (address, error) {
	if ctx.Err() != nil {
		return address{}, fmt.Errorf("%w: %w", errUnreachable, context.Cause(ctx)) // f would outlive it
	}
	result := a.asking.DoChan(id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
		defer cancel()
		return f(ctx), nil
	})
	select {
	case r := <-result:
		found, _ := r.Val.(address)
		return found, found.err
	case <-ctx.Done():
		return address{}, fmt.Errorf("%w: %w", errUnreachable, context.Cause(ctx))
	}
}

// ask asks the actor's server. While it is away, what was known before holds.
func (a *actors) ask(ctx context.Context, id string) address {
	found, err := a.fetch(ctx, id)
	if old, ok := a.known.GetIfPresent(id); errors.Is(err, errUnreachable) && ok && old.err == nil {
		return old
	}
	found.err, found.until = err, a.clock().Add(actorFresh)
	if err != nil {
		found.until = a.clock().Add(actorBad)
	}
	a.known.Set(id, found)
	return found
}

// fetch reads the actor document.
func (a *actors) fetch(ctx context.Context, id string) (address, error) {
	answer, err := a.documents.Get(ctx, id)
	switch status := answer.Status; {
	case errors.Is(err, actorkey.ErrTooLarge):
		return address{}, fmt.Errorf("%w: %w", errNotActor, err)
	case err != nil:
		return address{}, fmt.Errorf("%w: %w", errUnreachable, err)
	case status == http.StatusGone:
		return address{}, errGone
	case status == http.StatusNotFound:
		return address{}, fmt.Errorf("%w: its server answers 404", errNotActor)
	case status != http.StatusOK:
		return address{}, fmt.Errorf("%w: it answers %d", errUnreachable, status)
	}
	return readActor(id, answer.Body)
}

// readActor takes the inboxes from a document that calls itself id.
func readActor(id string, body []byte) (address, error) {
	var doc struct {
		ID        string          `json:"id"`
		Inbox     string          `json:"inbox"`
		Endpoints json.RawMessage `json:"endpoints"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return address{}, fmt.Errorf("%w: what it answers is not JSON", errUnreachable) // a page, as of a server that is being looked after
	}
	if doc.ID != id {
		return address{}, fmt.Errorf("%w: its document calls itself %.200q", errNotActor, doc.ID)
	}
	to, err := url.Parse(doc.Inbox)
	if err != nil || to.Host == "" {
		return address{}, fmt.Errorf("%w: its document names no inbox", errNotActor)
	}
	found := address{inbox: doc.Inbox}
	var endpoints struct {
		SharedInbox string `json:"sharedInbox"`
	}
	_ = json.Unmarshal(doc.Endpoints, &endpoints)
	// A shared inbox elsewhere would get what is meant for this host alone.
	if shared, err := url.Parse(endpoints.SharedInbox); err == nil && strings.EqualFold(shared.Host, to.Host) {
		found.shared = endpoints.SharedInbox
	}
	return found, nil
}
