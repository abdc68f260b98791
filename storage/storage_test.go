package storage_test

import (
	"bytes"
	"strings"
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

// TestLargestMessages: an activity and ids as large as they may be are kept, and read and removed again; a byte more is
// refused, and leaves nothing.
func TestLargestMessages(t *testing.T) {
	const most, ids = 3 << 20, 64<<10 - 256
	o := options(t.TempDir())
	o.MaxMessage, o.Share = most, 1<<30
	s := open(t, o)
	large := inboxtest.Sample("bob", 1)
	large.Activity = bytes.Repeat([]byte("a few bytes "), most/12)
	large.Kind = strings.Repeat("k", 9_000)
	large.Group = bytes.Repeat([]byte("g"), 10_000)
	large.Context = strings.Repeat("c", 11_000)
	large.ActivityID = strings.Repeat("i", 12_000)
	large.Actor = strings.Repeat("a", ids-9_000-10_000-11_000-12_000)
	longer := large
	longer.Actor += "a"
	larger := inboxtest.Sample("bob", 2)
	larger.Activity = make([]byte, most+1)
	for what, m := range map[string]inbox.Message{"ids": longer, "an activity": larger} {
		if rs, err := s.Append(t.Context(), []inbox.Message{inboxtest.Sample("bob", 3), m}); err == nil {
			t.Errorf("%s of a byte too many: %+v", what, rs)
		}
	}
	appendOne(t, s, large)
	appendOne(t, s, inboxtest.Sample("bob", 4))
	es := everything(t, s)
	if len(es) != 2 || !bytes.Equal(es[0].Activity, large.Activity) || es[0].Actor != large.Actor || !bytes.Equal(es[0].Group, large.Group) {
		t.Fatalf("%d messages", len(es))
	}
	rows(t, s, 8) // 7 parts, the ids are in the first
	if err := s.Trim(t.Context(), "bob", 1); err != nil {
		t.Fatal(err)
	}
	rows(t, s, 1)
	if u, err := s.Usage(t.Context(), "bob"); err != nil || u.Total != 1 || u.Bytes != int64(len(es[1].Activity)) {
		t.Errorf("%+v, %v", u, err)
	}
}
