package relay

import (
	"context"
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
)

// seek is the URL to which a client appends item=<id>.
func (b mailbox) seek() string { return b.url + "?" }

// soughtItem is the id that a client wants to be led to. Some clients append a
// separator although there is one.
func soughtItem(query *fasthttp.Args) (string, bool) {
	for _, name := range [...]string{"item", "?item", "&item"} {
		if query.Has(name) {
			return string(query.Peek(name)), true
		}
	}
	return "", false
}

// seekItem redirects to the page that holds an activity. What is absent and what
// is somebody else's look alike.
func (r *Relay) seekItem(work context.Context, ctx *fasthttp.RequestCtx, box mailbox, id string) error {
	p, err := r.place(work, box, id)
	if errors.Is(err, inbox.ErrNotFound) || err == nil && p <= box.floor {
		return errNoItem
	}
	if err != nil {
		return err
	}
	writeEmpty(ctx, fasthttp.StatusPermanentRedirect)
	ctx.Response.Header.Set(fasthttp.HeaderLocation, box.page(pageOf(p)))
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "private, no-store")
	return nil
}
