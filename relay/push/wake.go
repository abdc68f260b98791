package push

import (
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// devices are those of one owner that are to be woken.
type devices int

const (
	none   devices = iota
	failed         // those that could not be woken the last time
	all
)

type task struct {
	owner inbox.Owner
	whom  devices
}

// Wake has o's devices woken: at once, or when the quiet time after the last push
// is over, together with everything else that came in it. It never waits.
func (p *Pusher) Wake(o inbox.Owner) { p.wake(task{o, all}) }

func (p *Pusher) wake(t task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if later, isQuiet := p.owners[t.owner]; isQuiet {
		p.owners[t.owner] = max(later, t.whom)
		return
	}
	if len(p.owners) < maxWaiting {
		p.begin(t)
	}
}

// begin queues t. The caller holds mu.
func (p *Pusher) begin(t task) {
	if p.ctx.Err() != nil {
		return
	}
	p.owners[t.owner] = none
	p.queue = append(p.queue, t)
	p.signal()
}

func (p *Pusher) quietOver(o inbox.Owner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	later := p.owners[o]
	delete(p.owners, o)
	if later != none {
		p.begin(task{o, later})
	}
}

func (p *Pusher) signal() {
	select {
	case p.ready <- struct{}{}:
	default: // a worker will look already
	}
}

// work pushes for one owner after the other. The quiet time begins when all was sent: however slow a push
// service is, an owner has one worker.
func (p *Pusher) work() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.ready:
		}
		for t, ok := p.next(); ok; t, ok = p.next() {
			p.push(t)
			time.AfterFunc(p.o.Quiet, func() { p.quietOver(t.owner) })
		}
	}
}

func (p *Pusher) next() (t task, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 || p.ctx.Err() != nil {
		return task{}, false
	}
	t, p.queue = p.queue[0], p.queue[1:]
	if len(p.queue) > 0 {
		p.signal() // another worker helps
	}
	return t, true
}
