package forward //nolint:testpackage // whom a watch makes wait cannot be seen from outside

import (
	"errors"
	"os"
	"testing"
	"time"
)

// TestNobodyWaitsForACut: ending what is done for a client that has left may take long, and others keep their limits.
func TestNobodyWaitsForACut(t *testing.T) {
	k := oneLoop(t).newTask()
	leaver, far := pipe(t, k)
	stays, _ := pipe(t, k)
	w := newWatch(5 * time.Millisecond)
	defer w.close()
	var first, second guard
	first.conn, second.conn = leaver, stays
	w.add(&first)
	w.add(&second)
	cutting, done := make(chan struct{}), make(chan struct{})
	defer close(done)
	first.listen(func() { close(cutting); <-done })
	far.Close()
	first.lookBy.Store(1)
	<-cutting
	second.read(time.Millisecond)
	if _, err := stays.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %v", err)
	}
}
