package relay

import (
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/policy"
)

// call is an activity on its way in: it enters, and is kept when there is a place for it. Calls are used again, and read, decide
// and answer aside, so that the threads that serve clients allocate nothing for them: who allocates can be made to wait for
// the collector.
type call struct {
	relay *Relay
	ctx   *fasthttp.RequestCtx
	read  *body // nil: not yet
	err   error // activity.ErrNotMLS, or it has been answered

	activity *activity.Activity
	arrival  policy.Arrival
	leave    func()

	atDesk, inside func() // enter and keep
}

// calls are those that can be used again. The collector leaves them alone, as it does not those of a sync.Pool.
type calls chan *call

const spareCalls = 1024 // about as many as there ever are

func (cs calls) get(r *Relay, ctx *fasthttp.RequestCtx, read *body) (c *call) {
	select {
	case c = <-cs:
	default:
		c = new(call)
		c.atDesk, c.inside = c.enter, c.keep
	}
	c.relay, c.ctx, c.read = r, ctx, read
	return c
}

func (cs calls) put(c *call) {
	*c = call{atDesk: c.atDesk, inside: c.inside}
	select {
	case cs <- c:
	default:
	}
}

// enter finds a place for what is MLS, and answers when there is none. It waits for nothing.
func (c *call) enter() {
	r := c.relay
	if c.read == nil {
		if c.read, c.err = r.readActivity(c.ctx); c.err != nil {
			r.fail(c.ctx, c.err)
			return
		}
	}
	if c.err = c.findPlace(); c.err != nil && !errors.Is(c.err, activity.ErrNotMLS) {
		r.fail(c.ctx, c.err)
		r.bodies.put(c.read)
	}
}

func (c *call) findPlace() (err error) {
	r, body := c.relay, c.read.Bytes()
	if c.activity, err = activity.Parse(body, r.limits); err != nil {
		return err
	}
	if r.leaving() {
		return errLeaving
	}
	c.arrival = r.arrival(c.ctx, body)
	c.leave, err = r.intake.Enter(r.claimedStage(c.activity, c.arrival), c.arrival.Client, len(body))
	return err
}

// keep keeps what has a place, and answers: 202 when at least one local recipient has it, or nobody here was meant.
func (c *call) keep() {
	defer c.leave()
	err := c.relay.keep(c.activity, c.arrival, pathOf(c.ctx.Request.Header.RequestURI()))
	c.relay.bodies.drop(c.read) // its bytes may outlive this request in the store's hands
	if err != nil {
		c.relay.fail(c.ctx, err)
		return
	}
	writeEmpty(c.ctx, fasthttp.StatusAccepted)
}
