package inbox

import "sync"

// maxPending bounds the notices that wait for a watcher who does not look.
const maxPending = 8

// hub wakes those who wait for an owner's news. It carries no messages: whoever is
// woken reads the store, so a slow one delays nobody. The zero value is ready; it
// is safe for concurrent use.
type hub struct {
	mu       sync.Mutex
	watchers map[Owner]map[*Watch]struct{}
	all      []func(Owner) // told of every owner; set before the first message
}

// Watch is one who waits. Wake has something in it whenever there may be news
// since the last time it was emptied.
type Watch struct {
	Wake <-chan struct{}

	wake    chan struct{}
	hub     *hub
	owner   Owner
	notices []Notice // guarded by hub.mu
}

// Watch begins to wait for o's messages and notices. What is accepted afterwards
// wakes, so reading the store after Watch leaves no gap. Close ends it.
func (in *Inbox) Watch(o Owner) *Watch {
	w := &Watch{wake: make(chan struct{}, 1), hub: &in.hub, owner: o}
	w.Wake = w.wake
	in.hub.mu.Lock()
	defer in.hub.mu.Unlock()
	if in.hub.watchers == nil {
		in.hub.watchers = map[Owner]map[*Watch]struct{}{}
	}
	if in.hub.watchers[o] == nil {
		in.hub.watchers[o] = map[*Watch]struct{}{}
	}
	in.hub.watchers[o][w] = struct{}{}
	return w
}

// Close ends the waiting. Wake stays open.
func (w *Watch) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	delete(w.hub.watchers[w.owner], w)
	if len(w.hub.watchers[w.owner]) == 0 {
		delete(w.hub.watchers, w.owner)
	}
}

// Notices gives what Tell said since the last call.
func (w *Watch) Notices() []Notice {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	out := w.notices
	w.notices = nil
	return out
}

// OnMail has f called with the owner of every message that was kept, and of every
// notice. f must be quick: whoever wrote waits for it. It may be called before the
// Inbox is used, not later.
func (in *Inbox) OnMail(f func(Owner)) { in.hub.all = append(in.hub.all, f) }

// Tell gives n to those of o's clients that listen now. Nothing keeps it for the
// others.
func (in *Inbox) Tell(o Owner, n Notice) { in.hub.wake(o, &n) }

func (h *hub) wake(o Owner, n *Notice) {
	h.mu.Lock()
	for w := range h.watchers[o] {
		if n != nil && len(w.notices) < maxPending {
			w.notices = append(w.notices, *n)
		}
		select {
		case w.wake <- struct{}{}:
		default: // woken already
		}
	}
	h.mu.Unlock()
	for _, f := range h.all {
		f(o)
	}
}

// wakeKept wakes the owners whose message is new.
func (in *Inbox) wakeKept(ms []Message, results []Result) {
	for i, r := range results {
		if r.Err == nil && r.Delivered() {
			in.hub.wake(ms[i].Owner, nil)
		}
	}
}
