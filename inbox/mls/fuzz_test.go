package mls_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox/mls"
)

// FuzzParse holds for any bytes: they are malformed, or come out as they went in; nothing
// panics, the input stays as it was, and memory stays in the order of its size.
func FuzzParse(f *testing.F) {
	for _, b := range samples(f) {
		f.Add(b)
	}
	for suite := mls.Suite(0); suite <= 8; suite++ {
		f.Add(newDraft(f, suite).bytes(f))
	}
	f.Add(commit(1, 0, 4, 2, 3, 1, 'g', 0, 0, 0, 0, 0, 0, 0, 1, 1, 'n'))
	f.Add(commit(1, 0, 5, 1, 'g', 0, 9, 0, 1, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		var m *mls.Message
		var err error
		if grown := allocatedOnce(func() { m, err = mls.Parse(b) }); grown > 64<<10+uint64(len(b)) {
			t.Errorf("parsing %d bytes allocates %d", len(b), grown)
		}
		if !bytes.Equal(b, before) {
			t.Fatal("Parse writes into its input")
		}
		if err != nil {
			if m != nil || !errors.Is(err, mls.ErrMalformed) {
				t.Fatalf("%v, %v", m, err)
			}
			return
		}
		if again := m.AppendTo(nil); !bytes.Equal(again, b) {
			t.Fatalf("re-encoded %x, want %x", again, b)
		}
		inspect(t, m)
	})
}

// inspect calls everything there is to call.
func inspect(t *testing.T, m *mls.Message) {
	if m.Kind() == "" {
		t.Error("a message of no kind")
	}
	_, _, _ = m.Group()
	_ = m.WelcomeRefs()
	k := m.KeyPackage
	if k == nil {
		return
	}
	_ = k.LastResort()
	_, refErr := k.Ref()
	now := time.Unix(int64(min(k.Leaf.Lifetime.NotBefore, 1<<40)), 0)
	verdict, err := k.Check(mls.CheckOptions{Identity: string(k.Leaf.Credential.Identity), Now: now, MaxLifetime: 1<<63 - 1})
	if (err == nil) != (verdict != "") || verdict == mls.Verified && refErr != nil {
		t.Errorf("verdict %q, %v; ref %v", verdict, err, refErr)
	}
}
