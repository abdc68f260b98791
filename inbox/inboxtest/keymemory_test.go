package inboxtest_test

import (
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

func TestKeyMemory(t *testing.T) {
	inboxtest.RunKeys(t, func(_ *testing.T, clock func() time.Time) inbox.KeyStore {
		return &inboxtest.KeyMemory{Clock: clock}
	})
}
