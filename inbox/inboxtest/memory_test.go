package inboxtest_test

import (
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

func TestMemory(t *testing.T) {
	inboxtest.Run(t, func(_ *testing.T, s inboxtest.Setup) inbox.Store {
		return &inboxtest.Memory{Clock: s.Clock, Retention: s.Retention, Quota: s.Quota, Share: s.Share, Door: s.Door}
	})
}
