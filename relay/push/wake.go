package push

import (
	"time"

	"github.com/sealgate/sealgate/inbox"
)

// Wake has o's devices woken: at once, or when the quiet time after the last push
// is over, together with everything else that came in it. It never waits.
func (p *Pusher) Wake(o inbox.Owner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, isQuiet := p.owners[o]; isQuiet {
		p.owners[o] = true
		return
	}
	if len(p.owners) < maxWaiting {
		p.begin(o)
	}
}

// begin queues o and starts its quiet time. The caller holds mu.
func (p *Pusher) begin(o inbox.Owner) {
	if p.ctx.Err() != nil {
		return
	}
	p.owners[o] = false
	p.queue = append(p.queue, o)
	p.signal()
	time.AfterFunc(p.o.Quiet, func() { p.quietOver(o) })
}

func (p *Pusher) quietOver(o inbox.Owner) {
	p.mu.Lock()
	defer p.mu.Unlock()
	again := p.owners[o]
	delete(p.owners, o)
	if again {
		p.begin(o)
	}
}

func (p *Pusher) signal() {
	select {
	case p.ready <- struct{}{}:
	default: // a worker will look already
	}
}

// work pushes for one owner after the other.
func (p *Pusher) work() {
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.ready:
		}
		for o, ok := p.next(); ok; o, ok = p.next() {
			p.pushAll(o)
		}
	}
}

func (p *Pusher) next() (o inbox.Owner, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 || p.ctx.Err() != nil {
		return "", false
	}
	o, p.queue = p.queue[0], p.queue[1:]
	if len(p.queue) > 0 {
		p.signal() // another worker helps
	}
	return o, true
}
