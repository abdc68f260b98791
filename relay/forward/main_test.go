package forward_test

import (
	"os"
	"runtime"
	"testing"
)

// TestMain gives the loops' threads places of their own in the scheduler, as the program does: the instances of these tests run beside them.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	os.Exit(m.Run())
}
