package relay

import (
	"bytes"
	"context"
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/policy/signature"
	"github.com/sealgate/sealgate/policy/turn"
	"github.com/sealgate/sealgate/relay/forward"
	"github.com/sealgate/sealgate/relay/intake"
)

// intercept looks at a POST to an inbox whole. What is not MLS goes on as it came;
// what is, or cannot be told from it, never does.
func (r *Relay) intercept(ctx *fasthttp.RequestCtx) {
	body, here := forward.Peek(ctx)
	here = here && r.readable(ctx) == nil
	switch n := ctx.Request.Header.ContentLength(); {
	case here && !activity.Mentions(body):
		r.web.Pass(ctx)
	case here && r.turnAway(ctx, body):
	case here:
		r.interceptMLS(ctx, nil)
	case n < 0 || n > keptBody: // one made for it takes long to look at
		forward.Aside(ctx, func() { r.interceptRead(ctx) })
	default:
		r.interceptRead(ctx)
	}
}

// interceptRead is intercept for a body that is not here yet.
func (r *Relay) interceptRead(ctx *fasthttp.RequestCtx) {
	read, err := r.readActivity(ctx)
	if err != nil {
		r.fail(ctx, err)
		return
	}
	switch body := read.Bytes(); {
	case !activity.Mentions(body):
		r.passOn(ctx, read)
	case r.turnAway(ctx, body):
		r.bodies.put(read)
	default:
		r.interceptMLS(ctx, read)
	}
}

// turnAway answers what plainly is MLS and finds no place. It is not read for that: under a flood that would take the time of those who
// have a place. What is written in an unusual way is looked at as always.
func (r *Relay) turnAway(ctx *fasthttp.RequestCtx, body []byte) bool {
	comeAgain, crowded := r.intake.Crowded(body)
	if crowded {
		forward.AfterOthers(ctx)
		r.refuseBusy(ctx, comeAgain)
	}
	return crowded
}

func (r *Relay) passOn(ctx *fasthttp.RequestCtx, read *body) {
	r.web.PassBody(ctx, read.Bytes())
	r.bodies.put(read)
}

// interceptMLS decides about a body that mentions MLS; read is nil when it is here and not read yet.
func (r *Relay) interceptMLS(ctx *fasthttp.RequestCtx, read *body) {
	c := r.calls.get(r, ctx, read)
	forward.AsideBy(ctx, r.desk.start, c.atDesk)
	switch {
	case errors.Is(c.err, activity.ErrNotMLS):
		r.passOn(ctx, c.read)
	case c.err == nil:
		forward.Aside(ctx, c.inside)
	}
	r.calls.put(c)
}

// readActivity reads the body up to mailbox.max_activity into memory of its own.
// Whoever gets it puts or drops it. After an error the connection closes: the rest of
// the body is not waited for.
func (r *Relay) readActivity(ctx *fasthttp.RequestCtx) (*body, error) {
	b, err := r.readBody(ctx)
	if err != nil {
		ctx.SetConnectionClose()
	}
	if errors.Is(err, errTooLarge) {
		r.metrics.tooLarge.Inc()
	}
	return b, err
}

func (r *Relay) readBody(ctx *fasthttp.RequestCtx) (*body, error) {
	if err := r.readable(ctx); err != nil {
		return nil, err
	}
	stream := ctx.RequestBodyStream()
	if stream == nil {
		stream = bytes.NewReader(ctx.Request.Body())
	}
	return r.bodies.read(stream, ctx.Request.Header.ContentLength(), r.maxActivity)
}

// readable refuses a coded body unread: nobody could say what is in it.
func (r *Relay) readable(ctx *fasthttp.RequestCtx) error {
	if isCoded(&ctx.Request.Header) {
		return errCoded
	}
	if int64(ctx.Request.Header.ContentLength()) > r.maxActivity {
		return errTooLarge
	}
	return nil
}

func isCoded(h *fasthttp.RequestHeader) bool {
	for list := range values(h, fasthttp.HeaderContentEncoding) {
		for coding := range bytes.SplitSeq(list, []byte(",")) {
			coding = bytes.TrimSpace(coding)
			if len(coding) > 0 && !bytes.EqualFold(coding, []byte("identity")) {
				return true
			}
		}
	}
	return false
}

// keep judges what has a place and keeps it for its local recipients.
func (r *Relay) keep(a *activity.Activity, arrival policy.Arrival, path []byte) error {
	work, cancel := context.WithTimeout(context.Background(), workTimeout)
	defer cancel()
	to, ruling, err := r.judge(work, a, arrival, path)
	if err != nil {
		return err
	}
	results, err := r.inbox.Keep(work, ruling.Messages)
	if err != nil {
		return err
	}
	if err := r.consume(work, a, ruling.Messages, results); err != nil {
		return err
	}
	if len(to.owners) == 0 && to.waiting == nil {
		r.metrics.dropped.Inc()
	}
	r.metrics.dropped.Add(float64(ruling.Dropped))
	err = ruling.Outcome(results)
	if to.waiting != nil && (err == nil || errors.Is(err, intake.ErrRefused)) {
		return to.waiting // redelivery completes the rest
	}
	return err
}

// judge finds out who signed an activity and whom it is for, and asks policy about each of them. It keeps the turn in which the
// signature was looked at until all is computed that comes before the store.
func (r *Relay) judge(ctx context.Context, a *activity.Activity, arrival policy.Arrival, path []byte) (to addressed, ruling intake.Ruling, err error) {
	ctx = turn.Keeping(ctx)
	defer turn.GiveUp(ctx)
	signer, err := r.gate.Admit(ctx, arrival)
	if err != nil {
		return to, ruling, err
	}
	if to, err = r.recipients(ctx, a, path); err != nil {
		return to, ruling, err
	}
	if to.owners, err = r.whoCanRead(ctx, to.owners, signer.Actor); err != nil {
		return to, ruling, err
	}
	ruling, err = r.intake.Judge(ctx, inbox.Delivery{Signer: signer.Actor, Activity: a, Owners: to.owners})
	return to, ruling, err
}

// claimedStage says how early an activity is turned away when there is no room for all. Whoever is not known yet is as early as
// strangers: finding their key may take long.
func (r *Relay) claimedStage(a *activity.Activity, arrival policy.Arrival) rules.Stage {
	if at := intake.StageOf(a); at == rules.Contact || r.gate.Knows(arrival) {
		return at
	}
	return rules.Contact
}

// arrival is the request as the gate sees it. The scheme is the public one: what
// peers sign is the address they know, whoever ends TLS.
func (r *Relay) arrival(ctx *fasthttp.RequestCtx, body []byte) policy.Arrival {
	h := &ctx.Request.Header
	q := signature.Request{
		Method: string(h.Method()),
		Target: string(h.RequestURI()),
		Host:   string(h.Host()),
		Scheme: schemeOf(r.base),
		Body:   body,
	}
	for name, value := range h.AllInOrder() {
		q.Header = append(q.Header, signature.Field{Name: string(name), Value: string(value)})
	}
	return policy.Arrival{
		Request: q, Client: forward.ClientAddr(ctx),
		Wait: func(host string) (func(), error) { return r.intake.Await(host, len(body)) },
	}
}
