package forward

import (
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// loop is a thread that waits for many sockets at once and runs the tasks that wait for them, one at a time, each until it must
// wait again. Those that need nothing but wires go first: an ordinary request does not queue behind a flood of others. The kernel
// wakes the thread where a processor is free; goroutines that wait for Go's own poller share one thread, which is woken for all
// of them and may have to queue for its processor while another has nothing to do.
type loop struct {
	epoll  int
	bell   int // an eventfd
	thread int // its id
	ended  chan struct{}

	mu    sync.Mutex
	wires map[int32]*wire
	stop  bool

	posted  atomic.Pointer[task] // to be run, the newest first
	posting sync.WaitGroup       // calls of post
	turns   []*task              // others go before them, and then in this order; the loop's own
	events  [1024]unix.EpollEvent
	hit     [1024]*wire
	stock   stock // the loop's own
	keeps   int   // of each kind
}

// few is how many turns are taken before the loop looks who else has come.
const few = 8

// PlacesEach is how many places there should be in Go's scheduler (GOMAXPROCS) for each processor: a loop that has lost its place must find another
// at once, not when somebody leaves theirs.
const PlacesEach = 4

// loops are those of one server.
type loops struct {
	all   []*loop
	last  atomic.Uint32
	ended sync.Once
}

func newLoops(n int) (*loops, error) {
	ls := new(loops)
	for range n {
		l, err := newLoop(keptByAll / n)
		if err != nil {
			ls.close()
			return nil, fmt.Errorf("watch connections: %w", err)
		}
		ls.all = append(ls.all, l)
	}
	return ls, nil
}

// next returns the loops in turn.
func (ls *loops) next() *loop { return ls.all[ls.last.Add(1)%uint32(len(ls.all))] }

// close ends the threads. No task is left. It may be called again.
func (ls *loops) close() {
	if ls == nil {
		return
	}
	ls.ended.Do(func() { // descriptors that are closed twice are somebody else's
		for _, l := range ls.all {
			l.close()
		}
	})
}

func newLoop(keeps int) (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	bell, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, errors.Join(err, unix.Close(epoll))
	}
	l := &loop{epoll: epoll, bell: bell, wires: make(map[int32]*wire), ended: make(chan struct{}), keeps: keeps}
	if err := l.watch(bell, unix.EPOLLIN); err != nil {
		return nil, errors.Join(err, unix.Close(epoll), unix.Close(bell))
	}
	thread := make(chan int)
	go l.run(thread)
	l.thread = <-thread
	return l, nil
}

// watch has the loop told of every change of fd: each once (edge-triggered).
func (l *loop) watch(fd int, events uint32) error {
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events | unix.EPOLLET, Fd: int32(fd)})
}

func (l *loop) close() {
	l.mu.Lock()
	l.stop = true
	l.mu.Unlock()
	l.ring()
	<-l.ended
	l.posting.Wait() // a task that was posted may have run and ended before who posted it rings
	_, _ = unix.Close(l.epoll), unix.Close(l.bell)
}

// ring wakes the loop. The bell is never read: each write is a change.
func (l *loop) ring() { _, _ = unix.Write(l.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// post has the loop run t, from any goroutine. There is no lock: who loses its processor while it holds one makes all others
// queue for it, and the loop among them.
func (l *loop) post(t *task) {
	l.posting.Add(1)
	defer l.posting.Done()
	for {
		newest := l.posted.Load()
		t.older = newest
		if !l.posted.CompareAndSwap(newest, t) {
			continue
		}
		if newest == nil {
			l.ring()
		}
		return
	}
}

// admit gives who was posted a turn, the oldest first.
func (l *loop) admit() {
	before := len(l.turns)
	for t := l.posted.Swap(nil); t != nil; {
		l.turns = append(l.turns, t)
		t, t.older = t.older, nil
	}
	slices.Reverse(l.turns[before:])
}

// takeTurns has a few of the turns taken.
func (l *loop) takeTurns() {
	n := min(len(l.turns), few)
	for i := range n { // there may be more turns afterwards
		l.turns[i].resume()
	}
	l.turns = slices.Delete(l.turns, 0, n)
}

// run tells its thread, and ends with it.
func (l *loop) run(thread chan<- int) {
	runtime.LockOSThread()
	thread <- unix.Gettid()
	defer close(l.ended)
	for {
		n := l.wait()
		l.mu.Lock()
		for i := range n {
			l.hit[i] = l.wires[l.events[i].Fd]
		}
		stop := l.stop
		l.mu.Unlock()
		if stop {
			return
		}
		l.admit()
		for i, w := range l.hit[:n] {
			if w != nil {
				l.tell(w, l.events[i].Events)
			}
		}
		clear(l.hit[:n])
		l.takeTurns()
	}
}

const (
	moment   = 100_000 // for how long a loop waits without telling the scheduler, in nanoseconds
	idleness = 1_000   // after how long without anything to do a loop gives up what it has to spare, in milliseconds
)

// wait returns how many events there are: without waiting when there is something else to do. It waits a moment without telling the
// scheduler, which would look for other work for the processor, and then for as long as it takes.
func (l *loop) wait() int {
	patience := idleness
	if len(l.turns) > 0 {
		patience = 0
	}
	for {
		if patience != 0 {
			if n, _ := epollFor(l.epoll, l.events[:], moment); n > 0 {
				return n
			}
		}
		n, err := unix.EpollWait(l.epoll, l.events[:], patience)
		switch {
		case errors.Is(err, unix.EINTR):
		case n > 0 || patience == 0:
			return max(n, 0)
		default:
			l.stock = stock{}
		}
	}
}

// wake runs t, or has it wait for its turn.
func (l *loop) wake(t *task) {
	if t.later {
		l.turns = append(l.turns, t)
		return
	}
	t.resume()
}

// tell wakes who waited for what happened.
func (l *loop) tell(w *wire, events uint32) {
	const (
		ended    = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
		readable = unix.EPOLLIN | ended
		writable = unix.EPOLLOUT | unix.EPOLLHUP | unix.EPOLLERR
	)
	if events&ended != 0 {
		w.over.Store(true)
	}
	if events&readable != 0 {
		w.in.signal(&w.ready, l)
	}
	if events&writable != 0 {
		w.out.signal(&w.ready, l)
	}
}

// add has the loop watch w.
func (l *loop) add(w *wire) error {
	l.mu.Lock()
	l.wires[w.number] = w
	l.mu.Unlock()
	err := l.watch(int(w.number), unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP)
	if err != nil {
		l.remove(w)
	}
	return err
}

// remove forgets w, which is about to close.
func (l *loop) remove(w *wire) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wires[w.number] == w {
		delete(l.wires, w.number)
	}
}

// task is what is done for one client. While it is on its loop it must wait for nothing but wires: everybody whom the loop serves
// would wait with it. A task that was not started is never on a loop.
type task struct {
	loop *loop
	f    func()
	on   bool // runs on its loop, or waits for a wire there; only the task's own goroutines look
	me   waiter

	next  func() (struct{}, bool)
	yield func(struct{}) bool
	older *task // was posted before

	apart   func() // what is done aside
	goApart func() // runApart; made once, for nothing is allocated on the loop for it
	failed  any    // what apart panicked with

	later bool // did something aside for its last request, or took its turn from others: whoever did not goes before; the loop's own
	spent int  // attempts to read or write since it was resumed
}

const quantum = 32 // attempts before others have their turn

func (l *loop) newTask() *task {
	t := &task{loop: l}
	t.me.t = t
	t.goApart = t.runApart
	return t
}

// start has the loop run f.
func (t *task) start(f func()) {
	t.f = f
	t.loop.post(t)
}

// resume goes on with t until it waits or ends. The loop's thread alone calls it.
func (t *task) resume() {
	if t.next == nil {
		t.next, _ = iter.Pull(func(yield func(struct{}) bool) {
			t.yield, t.on = yield, true
			t.f()
		})
	}
	t.spent = 0
	t.next()
}

// aside runs f, which may wait for anything, in a goroutine of its own, while the loop goes on with others, and returns when f
// has. It panics as f does.
func (t *task) aside(f func()) { t.asideBy(spawn, f) }

func spawn(f func()) { go f() }

// asideBy is aside in a goroutine that start finds, at once or later.
func (t *task) asideBy(start func(f func()), f func()) {
	if t == nil || !t.on {
		f()
		return
	}
	t.apart, t.on, t.later = f, false, true
	start(t.goApart)
	t.yield(struct{}{})
	failed := t.failed
	t.apart, t.failed, t.on = nil, nil, true
	if failed != nil {
		panic(failed)
	}
}

// afterOthers has t wait for its turn when it is woken next.
func (t *task) afterOthers() {
	if t != nil && t.on {
		t.later = true
	}
}

// runApart does what was set aside, and has the loop go on with t.
func (t *task) runApart() {
	defer t.loop.post(t)
	defer func() { t.failed = recover() }()
	t.apart()
}

// at is the loop on which t runs, nil without one.
func (t *task) at() *loop {
	if t == nil || !t.on {
		return nil
	}
	return t.loop
}

// home is t's loop, nil without one.
func (t *task) home() *loop {
	if t == nil {
		return nil
	}
	return t.loop
}

// spend counts an attempt, and lets others have their turn after many.
func (t *task) spend() {
	if t == nil || !t.on {
		return
	}
	if t.spent++; t.spent > quantum {
		t.loop.turns = append(t.loop.turns, t)
		t.yield(struct{}{})
	}
}
