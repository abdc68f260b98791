package relay

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy/mastodon"
)

var errDecide = errors.New("relay: neither accept nor drop")

// requestJSON is a message request as its owner sees it: who, since when, how many,
// never what.
type requestJSON struct {
	ID          string    `json:"id"`
	Actor       string    `json:"actor"`
	Host        string    `json:"host"`
	Since       time.Time `json:"since"`
	Ends        time.Time `json:"ends"` // dropped then
	Messages    int       `json:"messages"`
	Invitations int       `json:"invitations"`
	Bytes       int64     `json:"bytes"`
	Overflown   bool      `json:"overflown,omitempty"` // more came than fits: accepting lets them invite anew
}

// severedJSON is a tombstone: these actors' messages no longer come.
type severedJSON struct {
	Who   string    `json:"who"`
	Since time.Time `json:"since"`
}

type requestsJSON struct {
	Total    int           `json:"totalItems"`
	Requests []requestJSON `json:"requests"`
	Severed  []severedJSON `json:"severed,omitempty"`
}

// requests answers GET and POST /e2ee/requests and POST /e2ee/requests/{id} for whose token it is.
func (r *Relay) requests(work context.Context, ctx *fasthttp.RequestCtx, d destination) error {
	caller, err := r.reader(work, ctx)
	switch {
	case err != nil:
		return err
	case d.route == routeRequest:
		return r.decide(work, ctx, caller, string(d.name))
	case ctx.IsPost():
		return r.sever(work, ctx, caller)
	}
	return r.listRequests(work, ctx, caller)
}

func (r *Relay) listRequests(work context.Context, ctx *fasthttp.RequestCtx, c mastodon.Caller) error {
	owner := inbox.Owner(c.Account)
	all, err := r.inbox.Requests(work, owner)
	if err != nil {
		return err
	}
	out := requestsJSON{Total: len(all), Requests: []requestJSON{}}
	for i := range all {
		out.Requests = append(out.Requests, r.describeRequest(&all[i]))
	}
	for _, s := range r.inbox.SeveredList() {
		if s.Owner == "" || s.Owner == owner {
			out.Severed = append(out.Severed, severedJSON{s.Who, s.At})
		}
	}
	writeJSON(ctx, fasthttp.StatusOK, out)
	return nil
}

func (r *Relay) describeRequest(w *inbox.Waiting) requestJSON {
	return requestJSON{
		ID: r.requestURL(w.ID), Actor: w.Actor, Host: w.Host, Since: w.Since.UTC(), Ends: w.Ends.UTC(),
		Messages: w.Messages, Invitations: w.Welcomes, Bytes: w.Bytes, Overflown: w.Over,
	}
}

func (r *Relay) requestURL(id string) string { return r.base + "/e2ee/requests/" + id }

// decide accepts or drops one request. The action is in the query or a form.
func (r *Relay) decide(work context.Context, ctx *fasthttp.RequestCtx, c mastodon.Caller, id string) error {
	form, err := paramsOf(ctx, c)
	if err != nil {
		return err
	}
	switch form.Get("action") {
	case "accept":
		err = r.inbox.AcceptRequest(work, inbox.Owner(c.Account), id)
	case "drop":
		err = r.inbox.DropRequest(work, inbox.Owner(c.Account), id)
	default:
		return errDecide
	}
	if err != nil {
		return err
	}
	writeEmpty(ctx, fasthttp.StatusNoContent)
	return nil
}

// paramsOf reads the query or, where that says no action, a form, of a caller who may write.
func paramsOf(ctx *fasthttp.RequestCtx, c mastodon.Caller) (url.Values, error) {
	if err := c.MayWrite(); err != nil {
		return nil, err
	}
	form, err := readForm(ctx)
	if len(ctx.QueryArgs().Peek("action")) > 0 {
		return once(string(ctx.QueryArgs().QueryString()))
	}
	return form, err
}
