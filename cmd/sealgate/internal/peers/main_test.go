package peers_test

import (
	"os"
	"testing"
)

// TestMain keeps mail for people whose clients publish no keys, as many here do.
func TestMain(m *testing.M) {
	if err := os.Setenv("SEALGATE_MAILBOX_UNENROLLED", "keep"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
