package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

// TestLongRows: a row is read and removed whole, whatever its length, alone and among others.
func TestLongRows(t *testing.T) {
	s := open(t, options(t.TempDir()))
	const part = 512 << 10
	rowOf := func(n int) inbox.Row { return inbox.Row{Kind: inbox.WaitingRow, Owner: "bob", Name: "w", N: uint64(n)} }
	sizes := []int{1, part - 1, part, part + 1, 2 * part, 7}
	change := func(f func(l inbox.Ledger) error) {
		t.Helper()
		if err := s.ChangeRows(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	read := func(gone int) {
		t.Helper()
		change(func(l inbox.Ledger) error {
			all, err := l.Rows(inbox.WaitingRow, "bob", "w")
			if err != nil || len(all) != len(sizes)-gone {
				return fmt.Errorf("%d rows, %w", len(all), err)
			}
			for n, size := range sizes {
				one, err := l.Row(rowOf(n))
				want := bytes.Repeat([]byte{byte(n + 1)}, size)
				if n < gone {
					want = nil
				} else if !bytes.Equal(all[n-gone], want) {
					return fmt.Errorf("row %d has %d bytes among others, want %d", n, len(all[n-gone]), size)
				}
				if err != nil || !bytes.Equal(one, want) {
					return fmt.Errorf("row %d has %d bytes, want %d, %w", n, len(one), len(want), err)
				}
			}
			return nil
		})
	}
	for n, size := range sizes {
		change(func(l inbox.Ledger) error { return l.SetRow(rowOf(n), bytes.Repeat([]byte{byte(n + 1)}, size), 0) })
	}
	read(0)
	before, err := s.KindsThere()
	if err != nil || before['r'] != 1+1+2+2+3+1 {
		t.Fatalf("%d parts, %v", before['r'], err)
	}
	for n := range sizes {
		change(func(l inbox.Ledger) error { return l.SetRow(rowOf(n), nil, 0) })
		read(n + 1)
	}
	if left, err := s.KindsThere(); err != nil || left['r'] != 0 {
		t.Errorf("%d parts are left, %v", left['r'], err)
	}
}

// TestChangeRowsRefuses: the error is the caller's own where nothing was written, and then and else nothing is kept.
func TestChangeRowsRefuses(t *testing.T) {
	s := open(t, options(t.TempDir()))
	no := errors.New("no")
	row := inbox.Row{Kind: inbox.WaitingRow, Owner: "bob", Name: "w"}
	if err := s.ChangeRows(t.Context(), func(inbox.Ledger) error { return no }); err != no { //nolint:errorlint // this very one
		t.Errorf("before anything was written: %v", err)
	}
	err := s.ChangeRows(t.Context(), func(l inbox.Ledger) error { return errors.Join(l.SetRow(row, []byte("x"), 0), no) })
	if !errors.Is(err, inbox.ErrUnavailable) {
		t.Errorf("after something was written: %v", err)
	}
	err = s.ReadRows(t.Context(), func(l inbox.Ledger) error {
		value, err := l.Row(row)
		if value != nil {
			return fmt.Errorf("it is kept: %q", value)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestALongMessageWaits: it is released as it came.
func TestALongMessageWaits(t *testing.T) {
	s := open(t, options(t.TempDir()))
	m := inboxtest.Sample("bob", 1)
	m.Kind, m.Group, m.Fate = "welcome", nil, inbox.Await
	m.Activity = []byte(`"` + strings.Repeat("long ", 200_000) + `"`)
	if results, err := s.Append(t.Context(), []inbox.Message{m}); err != nil || !results[0].Waits {
		t.Fatal(results, err)
	}
	in := inbox.New(inbox.Options{Store: s})
	all, err := in.Requests(t.Context(), "bob")
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if err := in.AcceptRequest(t.Context(), "bob", all[0].ID); err != nil {
		t.Fatal(err)
	}
	if es := everything(t, s); len(es) != 1 || !bytes.Equal(es[0].Activity, m.Activity) {
		t.Errorf("%d messages, or another one", len(es))
	}
}
