package outbox

import (
	"container/heap"
	"time"
)

// alarm is something that happens at a time. Its zero value is not set.
type alarm struct {
	due  time.Time
	ring func()
	at   int // in the heap, counted from one
}

func (a *alarm) isSet() bool { return a.at > 0 }

// alarms are those that are set, the next first.
type alarms []*alarm

// set has a ring at a time, also when it was set to another.
func (h *alarms) set(a *alarm, due time.Time) {
	a.due = due
	if a.isSet() {
		heap.Fix(h, a.at-1)
		return
	}
	heap.Push(h, a)
}

// unset forgets a. It may be called again.
func (h *alarms) unset(a *alarm) {
	if a.isSet() {
		heap.Remove(h, a.at-1)
	}
}

// ring sets off everything that is due, and says when the next is; zero: none is set.
func (h *alarms) ring(now time.Time) time.Time {
	for len(*h) > 0 {
		first := (*h)[0]
		if first.due.After(now) {
			return first.due
		}
		h.unset(first)
		first.ring()
	}
	return time.Time{}
}

// Len, Less, Swap, Push and Pop are heap.Interface.
func (h alarms) Len() int           { return len(h) }
func (h alarms) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h alarms) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i+1, j+1
}

// Push adds an alarm behind the others.
func (h *alarms) Push(x any) {
	a, _ := x.(*alarm)
	*h = append(*h, a)
	a.at = len(*h)
}

// Pop takes the last.
func (h *alarms) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	a.at = 0
	return a
}
