package storage_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/relay/outbox"
)

// TestNearlyFull: with less than the reserve free nothing new is taken, and all that makes room goes on, longer than one
// write-ahead log lasts; it ends when an eighth more than the reserve is free.
func TestNearlyFull(t *testing.T) {
	o := options(t.TempDir())
	o.Reserve = 256 << 20
	s := open(t, o)
	var free atomic.Int64
	free.Store(1 << 40)
	s.SetFree(free.Load)
	for n := range 100 {
		appendOne(t, s, inboxtest.Sample("bob", n))
	}
	_, err := s.Submit(t.Context(), outbox.Submission{Sent: outbox.Sent{Names: []string{"1"}}, Deliveries: []outbox.Delivery{{Host: "peer.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(mib int64) {
		t.Helper()
		free.Store(mib << 20)
		_, err := s.Append(t.Context(), []inbox.Message{inboxtest.Sample("bob", 100)})
		if !errors.Is(err, inbox.ErrUnavailable) || !strings.Contains(err.Error(), "288 MiB must be free under storage.path") {
			t.Errorf("with %d MiB free: %v", mib, err)
		}
	}
	refused(255)
	queued, err := s.Pending(t.Context(), outbox.Place{}, 10)
	if err != nil || len(queued) != 1 {
		t.Fatal(queued, err)
	}
	if err := s.Settle(t.Context(), []outbox.Place{queued[0].Place}, nil); err != nil {
		t.Errorf("a delivery that was made: %v", err)
	}
	tables := func() []string {
		names, _ := filepath.Glob(filepath.Join(o.Path, "*.sst"))
		return names
	}
	before := tables()
	for n := range inbox.Position(90) {
		if err := s.Trim(t.Context(), "bob", n+1); err != nil {
			t.Fatalf("message %d is removed: %v", n+1, err)
		}
	}
	if after := tables(); slices.Equal(before, after) {
		t.Errorf("the log that was used up became no table: %q", after)
	}
	if u, err := s.Usage(t.Context(), "bob"); err != nil || u.Total != 10 || u.First != 91 {
		t.Errorf("%+v, %v", u, err)
	}
	refused(256)
	refused(287)
	free.Store(288 << 20)
	appendOne(t, s, inboxtest.Sample("bob", 100))
	free.Store(256 << 20)
	appendOne(t, s, inboxtest.Sample("bob", 101))
	if queued, err := s.Pending(t.Context(), outbox.Place{}, 10); err != nil || len(queued) != 0 {
		t.Errorf("the delivery is made again: %+v, %v", queued, err)
	}
}
