package relay

import (
	"context"
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
)

// done is DELETE …/messages?through=<id>: this device needs nothing up to that
// activity any more.
func (r *Relay) done(work context.Context, ctx *fasthttp.RequestCtx, name string) error {
	caller, err := r.owner(work, ctx, name)
	if err == nil {
		err = caller.MayWrite()
	}
	if err != nil {
		return err
	}
	if !ctx.QueryArgs().Has("through") {
		return errNoThrough
	}
	token, _ := r.shown(ctx)
	reader, err := r.readerName(work, token)
	if err != nil {
		return err
	}
	owner := inbox.Owner(caller.Account)
	through, err := r.place(work, r.mailboxOf(caller.Person), string(ctx.QueryArgs().Peek("through")))
	if errors.Is(err, inbox.ErrNotFound) {
		return errNoItem
	}
	if err != nil {
		return err
	}
	if err := r.inbox.Done(work, owner, reader, through); err != nil {
		return err
	}
	writeEmpty(ctx, fasthttp.StatusNoContent)
	return nil
}

// opened is a person's mailbox as the device with this token sees it: without what
// it is done with. From then on messages wait for this device, too.
func (r *Relay) opened(ctx context.Context, box mailbox, token string) (mailbox, error) {
	reader, err := r.readerName(ctx, token)
	if err != nil {
		return box, err
	}
	box.floor, err = r.inbox.Meet(ctx, box.owner, reader)
	if errors.Is(err, inbox.ErrUnavailable) {
		return box, nil // reads go on when nothing can be written
	}
	return box, err
}

// usage is what the mailbox holds for this device.
func (r *Relay) usage(ctx context.Context, box mailbox) (inbox.Usage, error) {
	u, err := r.inbox.Usage(ctx, box.owner)
	if err != nil || box.floor < u.First || u.Total == 0 {
		return u, err
	}
	if box.floor >= u.Last {
		return inbox.Usage{Last: u.Last}, nil
	}
	u.Total -= int(box.floor - u.First + 1)
	u.First = box.floor + 1
	return u, nil
}
