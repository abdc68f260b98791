package outbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// settleTime bounds what a delivery's own bookkeeping may take after a stop.
const settleTime = 10 * time.Second

// Run delivers what is queued until ctx ends, and then finishes what is under way.
// Without a signing source it waits. Its error is a queue that cannot be read.
func (o *Outbox) Run(ctx context.Context) error {
	if err := o.load(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("read the delivery queue: %w", err)
	}
	if o.post == nil && o.courier == nil {
		<-ctx.Done()
		return nil
	}
	var group sync.WaitGroup
	defer group.Wait()
	for {
		l, again := o.queue.next()
		if l != nil {
			group.Go(func() {
				out := o.serve(ctx, l)
				o.passed(l, out)
				if out.fault {
					o.tellWaiting(ctx, l.host)
				}
				o.queue.done(l, out)
			})
			continue
		}
		if o.queue.wait(ctx, again) != nil {
			return nil
		}
	}
}

// load finds what was queued before the start.
func (o *Outbox) load(ctx context.Context) error {
	const page = 500
	var behind Place
	for {
		list, err := o.store.Pending(ctx, behind, page)
		if err != nil {
			return err
		}
		for _, d := range list {
			o.lanes.learn(d.Group, d.Ways)
			o.queue.found(d)
			behind = d.Place
		}
		if len(list) < page {
			o.queue.complete()
			return nil
		}
	}
}

// serve makes the delivery at the head of a lane.
func (o *Outbox) serve(ctx context.Context, l *lane) outcome {
	d, err := o.head(ctx, l)
	if err != nil {
		return o.stuck(ctx, err)
	}
	if d == nil {
		return outcome{empty: true}
	}
	if wait := d.NotBefore.Sub(o.clock()); wait > 0 {
		return outcome{wait: wait}
	}
	if waits, err := o.overtakes(ctx, d); err != nil {
		return o.stuck(ctx, err)
	} else if waits {
		return outcome{wait: overtakeLook}
	}
	body, err := o.body(ctx, d)
	if errors.Is(err, ErrNotSent) || errors.Is(err, ErrMalformed) {
		return o.settle(ctx, d, answered{verdict: refused, err: err})
	}
	if err != nil {
		return o.stuck(ctx, err)
	}
	got := o.deliver(ctx, d, body)
	if ctx.Err() != nil && got.verdict != delivered {
		return o.stuck(ctx, got.err)
	}
	return o.settle(ctx, d, got)
}

func (o *Outbox) stuck(ctx context.Context, err error) outcome {
	if ctx.Err() != nil {
		return outcome{retry: time.Nanosecond} // stopped; nobody's fault
	}
	o.log.Warn("delivery queue could not be read", "error", err)
	return outcome{retry: time.Minute}
}

// deliver posts to the recipient's inbox, wherever it is now.
func (o *Outbox) deliver(ctx context.Context, d *Delivery, body []byte) answered {
	target := d.Inbox
	if target == "" {
		to, err := o.actors.find(ctx, d.Recipients[0])
		if err != nil {
			return unlocated(err)
		}
		target = to.inbox
	}
	got := o.hand(ctx, d, target, body)
	if got.verdict != moved {
		return got
	}
	return o.follow(ctx, d, body, target, got)
}

// follow posts to everybody's own inbox after one that they had was no more; got is what it answered. The answer is
// delivered when all have it, else that of one who has not, with all who have not; who can be tried again stops the others.
func (o *Outbox) follow(ctx context.Context, d *Delivery, body []byte, old string, got answered) answered {
	out := answered{verdict: delivered}
	var left []string
	for i, id := range d.Recipients {
		to, err := o.actors.refresh(ctx, id)
		one := got
		switch {
		case errors.Is(err, errUnreachable):
			one = unlocated(err)
		case err == nil && to.inbox != old:
			one = o.hand(ctx, d, to.inbox, body)
		}
		if one.verdict == delivered {
			continue
		}
		left = append(left, id)
		if out = one; !one.verdict.ends(0) {
			left = append(left, d.Recipients[i+1:]...)
			break
		}
	}
	out.left = left
	return out
}

func unlocated(err error) answered {
	if errors.Is(err, errNotActor) {
		return answered{verdict: refused, err: err}
	}
	return unanswered(err)
}

// settle does the bookkeeping of one try.
func (o *Outbox) settle(ctx context.Context, d *Delivery, got answered) outcome {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	age := o.clock().Sub(d.Accepted)
	ends := got.verdict.ends(age)
	switch {
	case got.verdict == delivered:
		o.metrics.deliveries.WithLabelValues("delivered").Inc()
		if d.Warned {
			if err := o.inbox.Retract(ctx, inbox.Owner(d.Sender.Account), o.notice(d, inbox.DeliveryDelayed)); err != nil {
				return o.stuck(ctx, err)
			}
		}
	case ends:
		if err := o.giveUp(ctx, d, got); err != nil {
			return o.stuck(ctx, err) // what is not told is not dropped
		}
	default:
		o.metrics.deliveries.WithLabelValues("retried").Inc()
		return o.putBack(ctx, d, got, age)
	}
	if err := o.store.Settle(ctx, []Place{d.Place}, nil); err != nil {
		return o.stuck(ctx, err) // it will be sent again: better twice than never
	}
	return outcome{settled: d.Seq, fault: got.verdict.blames(), heard: got.heard()}
}

// putBack leaves the delivery where it is, for who has not got it, and tells its sender after an hour.
func (o *Outbox) putBack(ctx context.Context, d *Delivery, got answered, age time.Duration) outcome {
	o.log.Debug("delivery is tried again", "host", d.Host, "status", got.status, "error", got.err)
	isLate, isLess := age >= warnAfter && !d.Warned, got.left != nil && len(got.left) < len(d.Recipients)
	if isLess {
		d.Recipients = got.left
	}
	if isLate {
		if err := o.warn(ctx, d); err != nil {
			return o.stuck(ctx, err)
		}
	}
	if isLate || isLess {
		if err := o.store.Settle(ctx, nil, []Delivery{*d}); err != nil {
			return o.stuck(ctx, err)
		}
	}
	out := outcome{retry: got.after, fault: got.verdict.blames(), since: d.Accepted}
	if got.verdict == waiting || got.verdict == denied {
		out.retry = max(got.after, time.Nanosecond)
	}
	if got.status == http.StatusServiceUnavailable && got.after > 0 {
		out.fault = false // it is alive and says when
	}
	return out
}

// giveUp tells the sender; dropping it is the caller's.
func (o *Outbox) giveUp(ctx context.Context, d *Delivery, got answered) error {
	if err := o.tell(ctx, d, inbox.DeliveryFailed); err != nil {
		return err
	}
	o.metrics.deliveries.WithLabelValues("given_up").Inc()
	o.log.Warn("delivery given up", "host", d.Host, "status", got.status, "reason", got.reason())
	return nil
}

// warn tells the sender that it takes long; keeping that they know is the caller's.
func (o *Outbox) warn(ctx context.Context, d *Delivery) error {
	d.Warned = true
	return o.tell(ctx, d, inbox.DeliveryDelayed)
}

// tell keeps a notice for the sender's clients before the queue forgets its cause.
func (o *Outbox) tell(ctx context.Context, d *Delivery, kind inbox.Kind) error {
	return o.inbox.Report(ctx, inbox.Owner(d.Sender.Account), o.notice(d, kind))
}

func (o *Outbox) notice(d *Delivery, kind inbox.Kind) inbox.Notice {
	return inbox.Notice{Kind: kind, At: o.clock().UTC().Truncate(time.Second), Host: d.Host, Activity: d.Activity}
}
