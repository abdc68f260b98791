package storage_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

// tampering makes another row of one, or leaves it to a later row by giving it back as it is.
type tampering func(key, value []byte) (k, v []byte)

func cut(key, value []byte) (k, v []byte)    { return key, value[:max(0, len(value)-1)] }
func longer(key, value []byte) (k, v []byte) { return key, append(bytes.Clone(value), 0) }

// TestVerifyFindsDamage: a row that does not decode, whatever its kind, one of no kind, and a message that is missing.
func TestVerifyFindsDamage(t *testing.T) {
	o := options(t.TempDir())
	o.Share = 64 << 20
	s := open(t, o)
	leave(t, s, somebody("zoe", "4711"))
	amount, err := s.Verify(t.Context())
	if there := rowsThere(t, s); err != nil || amount.Rows != there || amount.Bytes < 1<<20 {
		t.Fatalf("a whole store: %+v of %d rows, %v", amount, there, err)
	}
	damage := func(kind byte, what string, f tampering) {
		t.Helper()
		undo, err := s.Tamper(kind, f)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Verify(t.Context())
		if !errors.Is(err, storage.ErrDamaged) || !strings.Contains(err.Error(), storage.Kinds()[kind]) && what != "no kind" {
			t.Errorf("%s of kind %q: %v", what, kind, err)
		}
		if err := undo(); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []byte("buoiaqDLT") {
		damage(kind, "cut", cut)
		damage(kind, "longer", longer)
	}
	damage('D', "a package, cut", func(key, value []byte) (k, v []byte) {
		if len(key) == 17 {
			return key, value
		}
		return cut(key, value)
	})
	damage('m', "cut", func(key, value []byte) (k, v []byte) { return key, value[:3] })
	damage('m', "a shorter key", func(key, value []byte) (k, v []byte) { return key[:29], value })
	damage('m', "a length within", func(key, value []byte) (k, v []byte) {
		v = bytes.Clone(value)
		if at := bytes.Index(v, []byte("application")); at > 0 {
			v[at-1] = 0xff
		}
		return key, v
	})
	damage('u', "a longer key", func(key, value []byte) (k, v []byte) { return append(bytes.Clone(key), 0), value })
	damage('k', "no kind", func(key, value []byte) (k, v []byte) { return append([]byte("Z"), key[1:]...), value })
	undo, err := s.Tamper('m', func(_, _ []byte) (k, v []byte) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Verify(t.Context()); !errors.Is(err, storage.ErrDamaged) || !strings.Contains(err.Error(), "1 messages are there of 2, positions 1 to 2") {
		t.Errorf("a message is missing: %v", err)
	}
	if err := undo(); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Verify(t.Context()); err != nil || again.Rows != amount.Rows {
		t.Errorf("repaired: %+v, %v", again, err)
	}
	if n, err := s.Waiting(t.Context()); err != nil || n != 1 {
		t.Errorf("%d deliveries wait, %v", n, err)
	}
}

// TestAMissingMessageIsTold: readers are not led to believe that there was none.
func TestAMissingMessageIsTold(t *testing.T) {
	s := open(t, options(t.TempDir()))
	large := inboxtest.Sample("bob", 2)
	large.Activity = make([]byte, 1<<20)
	appendOne(t, s, inboxtest.Sample("bob", 1))
	appendOne(t, s, large)
	for what, part := range map[string]byte{"a message": 0, "a part of one": 1, "its last part": 2} {
		undo, err := s.Tamper('m', func(key, value []byte) (k, v []byte) {
			if key[28] != 2 || key[29] != part {
				return key, value
			}
			return nil, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if es, err := s.After(t.Context(), "bob", 0, 10); err == nil || !strings.Contains(err.Error(), "message 2") {
			t.Errorf("%s is missing: %d messages, %v", what, len(es), err)
		}
		if es, err := s.After(t.Context(), "bob", 0, 1); err != nil || len(es) != 1 {
			t.Errorf("%s is missing, others: %d messages, %v", what, len(es), err)
		}
		if _, err := s.Verify(t.Context()); !errors.Is(err, storage.ErrDamaged) {
			t.Errorf("%s is missing and the store verified: %v", what, err)
		}
		if err := undo(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAMessageThatGrewIsTold: one whose last part has more than was written.
func TestAMessageThatGrewIsTold(t *testing.T) {
	s := open(t, options(t.TempDir()))
	large := inboxtest.Sample("bob", 1)
	large.Activity = make([]byte, 1<<20)
	appendOne(t, s, large)
	_, err := s.Tamper('m', func(key, value []byte) (k, v []byte) {
		if key[29] != 2 {
			return key, value
		}
		return longer(key, value)
	})
	if err != nil {
		t.Fatal(err)
	}
	if es, err := s.After(t.Context(), "bob", 0, 10); err == nil {
		t.Errorf("%d messages", len(es))
	}
	if _, err := s.Verify(t.Context()); !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("the store verified: %v", err)
	}
}

// TestVerifyMissesNothingThatWent: neither what was removed nor what expired, swept or not.
func TestVerifyMissesNothingThatWent(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock, o.Retention = clock.Now, 30*time.Hour
	s := open(t, o)
	verified := func() {
		t.Helper()
		if _, err := s.Verify(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for n := range 6 {
		appendOne(t, s, inboxtest.Sample("bob", n))
		clock.Advance(30 * time.Minute)
	}
	if err := s.Trim(t.Context(), "bob", 3); err != nil {
		t.Fatal(err)
	}
	verified()
	clock.Advance(28 * time.Hour)
	verified()
	sweep(t, s)
	if u, err := s.Usage(t.Context(), "bob"); err != nil || u.First <= 3 || u.Total == 0 {
		t.Fatalf("%+v, %v", u, err)
	}
	verified()
	clock.Advance(40 * time.Hour)
	sweep(t, s)
	verified()
	if u, err := s.Usage(t.Context(), "bob"); err != nil || u != (inbox.Usage{Last: 6}) {
		t.Errorf("%+v, %v", u, err)
	}
}
