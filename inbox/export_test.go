package inbox

import "hash/maphash"

// Wake wakes everybody who waits for one of owners, as a kept message does.
func (in *Inbox) Wake(owners ...Owner) {
	for _, o := range owners {
		in.hub.wake(o, nil)
	}
}

// Locked tells whether somebody changes what is known of o's devices.
func (in *Inbox) Locked(o Owner) bool {
	l := &in.marks.locks[maphash.String(in.marks.seed, string(o))%uint64(len(in.marks.locks))]
	if l.TryLock() {
		l.Unlock()
		return false
	}
	return true
}
