package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// idleEvery is how often the gateway looks whether it has little to do.
	idleEvery = 10 * time.Second
	// idleBytes is what may be allocated in that time when there is little to do. Ordinary requests allocate nothing.
	idleBytes = 8 << 20
	// sparesBytes is what makes it worth while: it costs a collection.
	sparesBytes = 4 << 20
)

// memory is what the runtime says of it, in bytes.
type memory struct {
	allocated uint64 // ever
	spare     uint64 // garbage, and free memory that the system has not got back
}

// giveBack has the memory that a load took, or the start, given back to the system when there is little to do, until ctx ends.
// By itself the runtime keeps half of it for minutes: garbage is not looked for until there is as much of it as there
// is in use, or for two minutes.
func giveBack(ctx context.Context) error {
	tick := time.NewTicker(idleEvery)
	defer tick.Stop()
	for last := readMemory(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := readMemory()
		if now.isIdle(last) {
			debug.FreeOSMemory()
		}
		last = now
	}
}

// isIdle says whether little was done since, and much could be given back.
func (m memory) isIdle(since memory) bool {
	return m.allocated-since.allocated < idleBytes && m.spare > sparesBytes
}

func readMemory() memory {
	s := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(s)
	allocated, free, objects, live := s[0].Value.Uint64(), s[1].Value.Uint64(), s[2].Value.Uint64(), s[3].Value.Uint64()
	return memory{allocated: allocated, spare: free + objects - min(objects, live)}
}
