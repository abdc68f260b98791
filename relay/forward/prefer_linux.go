package forward

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// nicer is by how much all other threads are nicer than the loops': where they want the same processor, a loop gets it for
	// nine tenths of the time if it can use it (setpriority(2)), and it can use very little.
	nicer = 10
	// slice is for how long a loop asks to run at a time, in nanoseconds, the least there is: who asks for less is sooner
	// served when it wakes (sched_setattr(2), since Linux 6.12; ignored before).
	slice = 100_000
)

// prefer has the kernel let the loops go before all other threads of the process, those to come too, which inherit it. It cannot be undone.
func (ls *loops) prefer() error {
	mine := make([]int, len(ls.all))
	for i, l := range ls.all {
		mine[i] = l.thread
		if err := shorten(l.thread); err != nil {
			return err
		}
	}
	usual, err := unix.Getpriority(unix.PRIO_PROCESS, mine[0]) // as the kernel counts: 20 less the niceness
	if err != nil {
		return fmt.Errorf("ask how nice a thread is: %w", err)
	}
	for { // until nobody is left from whom a new thread could have inherited the old niceness
		changed, err := yieldTo(mine, max(usual-nicer, 1))
		if err != nil || !changed {
			return err
		}
	}
}

// shorten asks for short slices for a thread.
func shorten(thread int) error {
	a, err := unix.SchedGetAttr(thread, 0)
	if err == nil {
		a.Runtime = slice
		err = unix.SchedSetAttr(thread, a, 0)
	}
	if err != nil {
		return fmt.Errorf("ask for short slices: %w", err)
	}
	return nil
}

// yieldTo makes all threads but mine as nice as priority says, and reports whether any was not.
func yieldTo(mine []int, priority int) (changed bool, err error) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return false, fmt.Errorf("list threads: %w", err)
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil || slices.Contains(mine, id) {
			continue
		}
		now, err := unix.Getpriority(unix.PRIO_PROCESS, id)
		if err == nil && now > priority {
			changed, err = true, unix.Setpriority(unix.PRIO_PROCESS, id, 20-priority)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // it may have ended
			return false, fmt.Errorf("make a thread nicer: %w", err)
		}
	}
	return changed, nil
}
