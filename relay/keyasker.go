package relay

import (
	"context"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy/mastodon"
)

// keyAsker is who reads a person's key packages: their owner, an inviter, or with
// neither anybody.
type keyAsker struct {
	owner    bool
	inviter  inbox.Requester
	actor    string // of the inviter; "" when nobody knows
	hasToken bool
}

// refused is why an asker who is not the owner does not get what is the owner's.
func (a keyAsker) refused() error {
	if a.hasToken {
		return errNotOwner
	}
	return errNoToken
}

// askerOf finds out by token or signature. A signature that does not hold is an
// anonymous read, which peers without any get as well; a token that does not hold
// is an error its client must know. HEAD reserves nothing.
func (r *Relay) askerOf(work context.Context, ctx *fasthttp.RequestCtx, p mastodon.Person) (keyAsker, error) {
	if token, ok := r.shown(ctx); ok {
		return r.askerWith(work, token, p)
	}
	if string(ctx.Method()) != fasthttp.MethodGet || !isSigned(&ctx.Request.Header) {
		return keyAsker{}, nil
	}
	signer, err := r.gate.Admit(work, r.arrival(ctx, nil))
	if err != nil {
		r.log.Debug("signed key fetch is served as an unsigned one", "error", err)
		return keyAsker{}, nil
	}
	return keyAsker{inviter: inbox.Requester{ID: signer.Actor, Service: signer.Agent}, actor: signer.Actor}, nil
}

// askerWith is the owner, or another local client: each client invites by itself.
func (r *Relay) askerWith(work context.Context, token string, p mastodon.Person) (keyAsker, error) {
	caller, err := r.caller(work, token)
	if err != nil {
		return keyAsker{}, err
	}
	if err := caller.MayRead(); err != nil {
		return keyAsker{}, err
	}
	if caller.Account == p.Account {
		return keyAsker{owner: true, hasToken: true}, nil
	}
	return keyAsker{inviter: inbox.Requester{ID: "token " + token}, actor: caller.Actor, hasToken: true}, nil
}

func isSigned(h *fasthttp.RequestHeader) bool {
	return len(value(h, "Signature")) > 0 || len(value(h, "Signature-Input")) > 0
}
