package outboxtest_test

import (
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/relay/outbox/outboxtest"
)

func TestMemory(t *testing.T) {
	outboxtest.Run(t, func(_ *testing.T, quota int64) (outbox.Store, inbox.Store) {
		mail := &inboxtest.Memory{Quota: quota}
		return &outboxtest.Memory{Mail: mail}, mail
	})
}
