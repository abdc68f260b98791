package storage_test

import (
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

// TestNothingGoesTooEarly: of a message that was taken no row goes by itself before it may be forgotten; a message goes with all of
// its time, never by itself.
func TestNothingGoesTooEarly(t *testing.T) {
	s := open(t, options(t.TempDir()))
	appendOne(t, s, inboxtest.Sample("bob", 1))
	lasting, passing := 0, 0
	for what, all := range s.Lifetimes() {
		for _, at := range all {
			if at.IsZero() {
				lasting++
				continue
			}
			if passing++; time.Until(at) < inbox.Remembered {
				t.Errorf("a %s is gone in %s", what, time.Until(at))
			}
		}
	}
	if lasting < 2 || passing == 0 {
		t.Errorf("%d rows stay and %d go", lasting, passing)
	}
}
