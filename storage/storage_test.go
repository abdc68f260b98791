package storage_test

import (
	"bytes"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

func TestContract(t *testing.T) {
	current := goleak.IgnoreCurrent() // a store that could not be closed, of another test
	t.Cleanup(func() { goleak.VerifyNone(t, current) })
	inboxtest.Run(t, func(t *testing.T, s inboxtest.Setup) inbox.Store {
		o := options(t.TempDir())
		o.Clock, o.Retention, o.Quota, o.Share, o.Door = s.Clock, s.Retention, s.Quota, s.Share, s.Door
		return open(t, o)
	})
}

func options(path string) storage.Options {
	return storage.Options{Path: path, Key: key(1), Retention: 30 * 24 * time.Hour, Quota: 128 << 20}
}

func key(n byte) []byte { return bytes.Repeat([]byte{n}, storage.KeySize) }

func open(t *testing.T, o storage.Options) *storage.Store {
	t.Helper()
	s, err := storage.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t *testing.T, s *storage.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
