package storage_test

import (
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/relay/outbox/outboxtest"
)

func TestOutboxContract(t *testing.T) {
	outboxtest.Run(t, func(t *testing.T, quota int64) (outbox.Store, inbox.Store) {
		o := options(t.TempDir())
		o.Quota = quota
		s := open(t, o)
		return s, s
	})
}
