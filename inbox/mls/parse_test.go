package mls_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox/mls"
)

func parse(t testing.TB, b []byte) *mls.Message {
	t.Helper()
	m, err := mls.Parse(b)
	if err != nil {
		t.Fatalf("%x: %v", b[:min(len(b), 40)], err)
	}
	return m
}

func unhex(t testing.TB, v any) []byte {
	t.Helper()
	s, _ := v.(string)
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func tohex(b []byte) string { return hex.EncodeToString(b) }

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// conversations reads the vectors made with mls-go.
func conversations(t testing.TB) (all []conversation) {
	t.Helper()
	if err := json.Unmarshal(must(os.ReadFile("testdata/mlsgo.json"))(t), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 4 {
		t.Fatalf("%d conversations, want 4", len(all))
	}
	return all
}

func TestConversationsOfRealClients(t *testing.T) {
	for _, c := range conversations(t) {
		t.Run(c.Client+" "+c.Suite.String(), func(t *testing.T) {
			raw := unhex(t, c.KeyPackage)
			m := parse(t, raw)
			if m.Framed || m.Kind() != mls.KindKeyPackage || !bytes.Equal(m.AppendTo(nil), raw) {
				t.Errorf("key package: framed %v, kind %s, re-encoded %x", m.Framed, m.Kind(), m.AppendTo(nil))
			}
			o := mls.CheckOptions{Identity: c.Owner, Now: c.Time, MaxLifetime: 400 * 24 * time.Hour}
			if verdict, err := m.KeyPackage.Check(o); verdict != mls.Verified || err != nil {
				t.Errorf("key package: %q %v", verdict, err)
			}
			ref := must(m.KeyPackage.Ref())(t)
			for kind, message := range c.Messages {
				c.check(t, kind, unhex(t, message), ref)
			}
		})
	}
}

func (c *conversation) check(t *testing.T, kind string, b, ref []byte) {
	t.Helper()
	m := parse(t, b)
	if m.Kind() != kind || !m.Framed || !bytes.Equal(m.AppendTo(nil), b) {
		t.Errorf("%s: framed %v, kind %s, re-encoded %x", kind, m.Framed, m.Kind(), m.AppendTo(nil))
	}
	group, _, ok := m.Group()
	if hidden := kind == mls.KindWelcome; ok == hidden || ok && tohex(group) != c.Group {
		t.Errorf("%s: group %x (%v)", kind, group, ok)
	}
	if refs := m.WelcomeRefs(); kind == mls.KindWelcome && (len(refs) != 1 || !bytes.Equal(refs[0], ref)) {
		t.Errorf("the Welcome names %x, want %x", refs, ref)
	}
}

// A message cut anywhere, or with anything after it, is none.
func TestTruncatedAndTrailing(t *testing.T) {
	for _, b := range samples(t) {
		for n := range b {
			if _, err := mls.Parse(b[:n]); !errors.Is(err, mls.ErrMalformed) {
				t.Fatalf("the first %d of %d bytes of %x: %v", n, len(b), b, err)
			}
		}
		if _, err := mls.Parse(append(bytes.Clone(b), 0)); !errors.Is(err, mls.ErrMalformed) {
			t.Fatalf("a byte after the end of %x: %v", b, err)
		}
	}
}

// samples gives every message in testdata.
func samples(t testing.TB) (all [][]byte) {
	t.Helper()
	for _, c := range conversations(t) {
		all = append(all, unhex(t, c.KeyPackage))
		for _, m := range c.Messages {
			all = append(all, unhex(t, m))
		}
	}
	for _, f := range peerFiles(t) {
		for _, v := range f.Vectors {
			all = append(all, v.Hex)
		}
	}
	return all
}
