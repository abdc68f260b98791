package forward_test

import (
	"os"
	"runtime"
	"testing"

	"github.com/sealgate/sealgate/relay/forward"
)

// TestMain gives the loops' threads places of their own in the scheduler, as the program does: the instances of these tests run beside them.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(forward.PlacesEach * runtime.GOMAXPROCS(0))
	os.Exit(m.Run())
}
