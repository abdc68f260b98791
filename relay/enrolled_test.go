package relay_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay"
)

// TestWhoIsNotEnrolled: what comes for people who could not read it is answered 202, dropped and counted; the others have
// it, and nothing is dropped while that cannot be told.
func TestWhoIsNotEnrolled(t *testing.T) {
	var (
		able sync.Map // inbox.Owner
		away atomic.Bool
	)
	able.Store(inbox.Owner("1"), true)
	w := newWorldWith(t, memory(), gate{}, func(o *relay.Options) {
		o.Enrolled = func(_ context.Context, who inbox.Owner) (bool, error) {
			if away.Load() {
				return false, fmt.Errorf("the disk: %w", inbox.ErrUnavailable)
			}
			_, is := able.Load(who)
			return is, nil
		}
	})
	f := func(status, alices, bobs int, dropped float64, to ...string) {
		t.Helper()
		got := w.deliver(t, "/inbox", create(fmt.Sprint(alices, bobs, dropped, to), to...))
		if a, b := len(w.held(t, "1")), len(w.held(t, "2")); got.status != status || a != alices || b != bobs {
			t.Errorf("%+v: alice has %d, bob %d", got, a, b)
		}
		if n := w.count(t, "sealgate_mls_unaddressed_total"); n != dropped {
			t.Errorf("%v dropped, want %v", n, dropped)
		}
	}
	f(http.StatusAccepted, 0, 0, 1, bob)
	f(http.StatusAccepted, 1, 0, 1, alice, bob)
	able.Store(inbox.Owner("2"), true)
	f(http.StatusAccepted, 1, 1, 1, bob)
	away.Store(true)
	f(http.StatusServiceUnavailable, 1, 1, 1, bob)
}
