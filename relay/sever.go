package relay

import (
	"context"
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy/mastodon"
)

var (
	errSever = errors.New("relay: neither sever nor rejoin")
	errHere  = errors.New("relay: they are here")
)

// severingJSON is what cutting somebody off does, or has done: for the caller alone.
type severingJSON struct {
	Who      string `json:"who"`
	Done     bool   `json:"done"`     // false: a preview
	Groups   int    `json:"groups"`   // of the caller's, in which they were seen
	Requests int    `json:"requests"` // of theirs, which are dropped
}

// sever drops from now on all that who sends to the caller, or takes that back. Without done=1 it only says whom
// it touches.
func (r *Relay) sever(work context.Context, ctx *fasthttp.RequestCtx, c mastodon.Caller) error {
	form, err := paramsOf(ctx, c)
	if err != nil {
		return err
	}
	one := inbox.Severed{Owner: inbox.Owner(c.Account), By: "owner"}
	if one.Who, err = inbox.Whom(form.Get("who")); err != nil {
		return err
	}
	switch form.Get("action") {
	case "sever":
		out, err := r.touched(work, one)
		if out.Done = form.Get("done") == "1"; out.Done && err == nil {
			err = r.inbox.Sever(work, one, []inbox.Owner{one.Owner})
		}
		if err != nil {
			return err
		}
		writeJSON(ctx, fasthttp.StatusOK, out)
		return nil
	case "rejoin":
		if err := r.inbox.Rejoin(work, one); err != nil {
			return err
		}
		writeEmpty(ctx, fasthttp.StatusNoContent)
		return nil
	}
	return errSever
}

// touched is the preview.
func (r *Relay) touched(work context.Context, one inbox.Severed) (severingJSON, error) {
	out := severingJSON{Who: one.Who}
	if inbox.HostOf(one.Who) == inbox.HostOf(r.base) {
		return out, errHere
	}
	contacts, err := r.inbox.ContactsOf(work, one.Who, []inbox.Owner{one.Owner})
	for _, contact := range contacts {
		out.Groups, out.Requests = contact.Groups, contact.Requests
	}
	return out, err
}
