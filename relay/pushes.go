package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay/push"
)

const maxSubscription = 16 << 10 // bytes of a subscription as a client sends it

var (
	errNoThrough    = errors.New("relay: no through in the query")
	errSubscription = errors.New("relay: not a push subscription")
)

// pushDocument is what a client needs to subscribe, and what it has subscribed.
type pushDocument struct {
	ApplicationServerKey string              `json:"applicationServerKey"`
	Subscriptions        []push.Subscription `json:"subscriptions"`
}

// pushes answers GET, POST and DELETE of /e2ee/users/{name}/push.
func (r *Relay) pushes(work context.Context, ctx *fasthttp.RequestCtx, name string) error {
	caller, err := r.owner(work, ctx, name)
	if err == nil && !isRead(ctx.Method()) {
		err = caller.MayWrite()
	}
	if err != nil {
		return err
	}
	owner := inbox.Owner(caller.Account)
	switch {
	case isRead(ctx.Method()):
		return r.listPushes(work, ctx, owner)
	case isPost(ctx.Method()):
		return r.subscribe(work, ctx, owner)
	}
	id := ctx.QueryArgs().Peek("id")
	if len(id) == 0 {
		id = ctx.QueryArgs().Peek("endpoint")
	}
	if err := r.push.Unsubscribe(work, owner, string(id)); err != nil {
		return err
	}
	writeEmpty(ctx, fasthttp.StatusNoContent)
	return nil
}

func (r *Relay) listPushes(work context.Context, ctx *fasthttp.RequestCtx, owner inbox.Owner) error {
	list, err := r.push.List(work, owner)
	if err != nil {
		return err
	}
	if list == nil {
		list = []push.Subscription{}
	}
	writeJSON(ctx, fasthttp.StatusOK, pushDocument{ApplicationServerKey: r.push.PublicKey(), Subscriptions: list})
	return nil
}

// subscribe takes what a browser's PushSubscription.toJSON gives. Pushes are empty,
// so its keys are not needed and not kept.
func (r *Relay) subscribe(work context.Context, ctx *fasthttp.RequestCtx, owner inbox.Owner) error {
	body := ctx.RequestBodyStream()
	if body == nil {
		return errSubscription
	}
	text, err := io.ReadAll(io.LimitReader(body, maxSubscription+1))
	if err != nil {
		return fmt.Errorf("%w: %w", errTruncated, err)
	}
	var asked struct {
		Endpoint string `json:"endpoint"`
	}
	if len(text) > maxSubscription || json.Unmarshal(bytes.TrimSpace(text), &asked) != nil {
		return errSubscription
	}
	s, err := r.push.Subscribe(work, owner, asked.Endpoint)
	if err != nil {
		return err
	}
	ctx.Response.Header.Set(fasthttp.HeaderLocation, string(ctx.Path())+"?id="+s.ID)
	writeJSON(ctx, fasthttp.StatusCreated, s)
	return nil
}
