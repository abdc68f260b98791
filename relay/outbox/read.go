package outbox

import (
	"context"
	"slices"
	"strings"

	"github.com/sealgate/sealgate/inbox"
)

// Reader is who wants to read what was sent: a local person, or an actor elsewhere
// whose signature was verified.
type Reader struct {
	Owner inbox.Owner // "" for who is not local
	Actor string
}

// Activity gives the activity that was sent under an id, to its sender and its
// recipients; ErrNotSent to everybody else.
func (o *Outbox) Activity(ctx context.Context, id string, r Reader) ([]byte, error) {
	if !isID(id) {
		return nil, ErrNotSent
	}
	sent, err := o.store.Sent(ctx, id)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Actor != "" && sent.Actor == r.Actor, r.Owner != "" && slices.Contains(sent.Owners, r.Owner):
		return sent.Body, nil
	case r.Actor == "" || !slices.Contains(sent.Actors, r.Actor):
		return nil, ErrNotSent
	case sent.Each:
		return onlyTo(sent.Body, r.Actor) // as it was delivered to them
	}
	return sent.Body, nil
}

// Object is Activity for the id of an object that it made.
func (o *Outbox) Object(ctx context.Context, id string, r Reader) ([]byte, error) {
	home, _, _ := strings.Cut(id, "-")
	body, err := o.Activity(ctx, home, r)
	if err != nil {
		return nil, err
	}
	top, err := parsed(body)
	if err != nil {
		return nil, err
	}
	for _, in := range made(top) {
		if in.TextOf("id") == o.objectURL(id) {
			return in.Bytes(), nil
		}
	}
	return nil, ErrNotSent
}

// isID tells whether a name is one that newID could have made: never a client's.
func isID(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}
