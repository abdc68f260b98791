package relay

import "runtime"

// desk is where what comes is looked at: by few at once, however many come, so that the threads that serve clients need not
// queue for a processor behind them all. What is done there waits for nothing. It is safe for concurrent use.
type desk struct {
	queue  chan func()
	clerks chan struct{} // one for each who works
	shift  func()        // work; made once, for who summons must not allocate
}

// deskQueue is more than may come at once, but from very many clients.
const deskQueue = 4096

func newDesk() *desk {
	d := &desk{queue: make(chan func(), deskQueue), clerks: make(chan struct{}, runtime.GOMAXPROCS(0))}
	d.shift = d.work
	return d
}

// start has f run in its turn. It does not wait.
func (d *desk) start(f func()) {
	select {
	case d.queue <- f:
		d.summon()
	default:
		go f()
	}
}

// summon has one more clerk come if there may be.
func (d *desk) summon() {
	select {
	case d.clerks <- struct{}{}:
		go d.shift()
	default:
	}
}

func (d *desk) work() {
	for {
		select {
		case f := <-d.queue:
			f()
		default:
			<-d.clerks
			if len(d.queue) > 0 { // it came when no clerk could
				d.summon()
			}
			return
		}
	}
}
