package storage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

// TestADamagedBlockIsTold: whatever byte of a table has changed, nothing wrong is read and nothing left out in silence; who has
// nothing in the block reads on, and nothing is taken.
func TestADamagedBlockIsTold(t *testing.T) {
	whole := t.TempDir()
	s := open(t, options(whole))
	people := []inbox.Owner{"alice", "bob", "carol", "dave"}
	want := map[inbox.Owner][]inbox.Entry{}
	for n := range 40 {
		m := inboxtest.Sample(people[n%len(people)], n)
		m.Activity = bytes.Repeat([]byte(fmt.Sprintf("%08d", n)), 512)
		appendOne(t, s, m)
	}
	for _, who := range people {
		var err error
		if want[who], err = s.After(t.Context(), who, 0, 100); err != nil || len(want[who]) != 10 {
			t.Fatal(len(want[who]), err)
		}
	}
	closeStore(t, s)
	name, table := onlyTable(t, whole)
	reads, refused, errs := 0, 0, 0
	for at := 0; at < len(table); at += 4099 {
		dir := withTable(t, whole, name, changed(table, at, 0x10))
		o, metrics, log := options(dir), prometheus.NewRegistry(), new(bytes.Buffer)
		o.Metrics, o.Log = metrics, slog.New(slog.NewTextHandler(log, nil))
		s, err := storage.Open(o)
		if err != nil {
			if !isRefused(err) {
				t.Errorf("byte %d: refused with %v", at, err)
			}
			refused++
			continue
		}
		if _, err := s.Verify(t.Context()); !errors.Is(err, storage.ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("byte %d: verified: %v", at, err)
		}
		for _, who := range people {
			got, err := s.After(t.Context(), who, 0, 100)
			switch {
			case err != nil && errors.Is(err, storage.ErrDamaged):
				errs++
			case err != nil || !reflect.DeepEqual(got, want[who]):
				t.Errorf("byte %d: %s reads %d messages, %v", at, who, len(got), err)
			default:
				reads++
			}
		}
		if _, err := s.Export(t.Context(), somebody("zoe", "4711"), new(bytes.Buffer)); !errors.Is(err, storage.ErrDamaged) {
			t.Errorf("byte %d: exported: %v", at, err)
		}
		if _, err := s.Erase(t.Context(), somebody("zoe", "4711")); !errors.Is(err, storage.ErrDamaged) {
			t.Errorf("byte %d: erased: %v", at, err)
		}
		if results, err := s.Append(t.Context(), []inbox.Message{inboxtest.Sample("alice", 99)}); !errors.Is(err, inbox.ErrUnavailable) {
			t.Errorf("byte %d: taken: %v %v", at, results, err)
		}
		if err := s.Writable(); !errors.Is(err, storage.ErrDamaged) {
			t.Errorf("byte %d: writable: %v", at, err)
		}
		if n := gather(t, metrics)["sealgate_store_damaged"]; n != 1 {
			t.Errorf("byte %d: the metric is %v", at, n)
		}
		closeStore(t, s)
		if n := strings.Count(log.String(), `msg="store is damaged`); n != 1 {
			t.Errorf("byte %d: told %d times: %s", at, n, log)
		}
	}
	t.Logf("%d read all of theirs, %d were told, %d times it was not opened", reads, errs, refused)
	if reads == 0 || errs == 0 {
		t.Error("nobody reads, or nobody is told")
	}
}

// TestADamagedLengthKillsNobody: the engine follows the lengths at a block's end before it asks the checksum.
func TestADamagedLengthKillsNobody(t *testing.T) {
	whole := t.TempDir()
	s := open(t, options(whole))
	for n := range 12 {
		m := inboxtest.Sample("bob", n)
		m.Activity = bytes.Repeat([]byte(fmt.Sprintf("%08d", n)), 700)
		appendOne(t, s, m)
	}
	want := everything(t, s)
	closeStore(t, s)
	ends, err := storage.BlockEnds(options(whole))
	if err != nil || len(ends) < 3 {
		t.Fatal(ends, err)
	}
	name, table := onlyTable(t, whole)
	read, told, refused := 0, 0, 0
	for _, n := range []int{0, 1, len(ends) - 1} {
		for _, back := range []int{1, 9, 16, 17, 18, 19, 20, 23, 28, 31, 32, 33, 40} {
			dir := withTable(t, whole, name, changed(table, ends[n]-back, 1<<(back%8)))
			s, err := storage.Open(options(dir))
			if err != nil {
				if refused++; !isRefused(err) {
					t.Errorf("block %d, %d before its end: refused with %v", n, back, err)
				}
				continue
			}
			got, err := s.After(t.Context(), "bob", 0, 100)
			switch {
			case errors.Is(err, storage.ErrDamaged):
				told++
			case err != nil || !reflect.DeepEqual(got, want):
				t.Errorf("block %d, %d before its end: read %d, %v", n, back, len(got), err)
			default:
				read++
			}
			if _, err := s.Verify(t.Context()); !errors.Is(err, storage.ErrDamaged) {
				t.Errorf("block %d, %d before its end: verified: %v", n, back, err)
			}
			closeStore(t, s)
		}
	}
	if t.Logf("%d blocks: %d read, %d were told, %d times it was not opened", len(ends), read, told, refused); told == 0 || refused == 0 {
		t.Error("nobody was told, or it was always opened")
	}
}

// TestADamagedMailboxIsNotBegunAnew: also before all tables were read.
func TestADamagedMailboxIsNotBegunAnew(t *testing.T) {
	whole := t.TempDir()
	s := open(t, options(whole))
	m := inboxtest.Sample("bob", 1)
	m.Activity = bytes.Repeat([]byte("x"), 40_000) // more than a block, between what a start needs and the mailbox's row
	appendOne(t, s, m)
	for n := range 40 { // rows behind it
		if err := s.KeepAnswer(t.Context(), fmt.Sprint(n), "whom", bytes.Repeat([]byte("x"), 2000)); err != nil {
			t.Fatal(err)
		}
	}
	want := everything(t, s)
	closeStore(t, s)
	ends, err := storage.BlockEnds(options(whole))
	if err != nil || len(ends) < 3 {
		t.Fatal(ends, err)
	}
	name, table := onlyTable(t, whole)
	told, waited := 0, 0
	for _, end := range ends[:len(ends)-1] {
		s, err := storage.Open(options(withTable(t, whole, name, changed(table, end-100, 1))))
		if err != nil {
			if told++; !isRefused(err) {
				t.Errorf("block to %d: refused with %v", end, err)
			}
			continue
		}
		look := s.Forget()
		f := func() {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			results, err := s.Append(ctx, []inbox.Message{inboxtest.Sample("bob", 2)})
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				waited++
			case err == nil && (results[0].Err != nil && !errors.Is(results[0].Err, inbox.ErrDuplicate) || results[0].Position != 2), err != nil && !errors.Is(err, inbox.ErrUnavailable):
				t.Errorf("block to %d: taken %v, %v", end, results, err)
			}
			got, err := s.After(ctx, "bob", 0, 1)
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				waited++
			case errors.Is(err, storage.ErrDamaged):
				told++
			case err != nil || !reflect.DeepEqual(got, want):
				t.Errorf("block to %d: read %d messages, %v", end, len(got), err)
			}
		}
		f()
		look()
		f()
		closeStore(t, s)
	}
	if told == 0 || waited == 0 {
		t.Errorf("%d were told, %d waited", told, waited)
	}
}

// onlyTable is the name and the content of a store's one table.
func onlyTable(t *testing.T, path string) (name string, table []byte) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(path, "*.sst"))
	if err != nil || len(tables) != 1 {
		t.Fatal(tables, err)
	}
	if table, err = os.ReadFile(tables[0]); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(tables[0]), table
}

// withTable is a copy of a store in which a table is another.
func withTable(t *testing.T, path, name string, table []byte) string {
	t.Helper()
	dir := copyStore(t, path)
	if err := os.WriteFile(filepath.Join(dir, name), table, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func changed(table []byte, at int, bits byte) []byte {
	other := bytes.Clone(table)
	other[at] ^= bits
	return other
}

// TestTablesAreReadBesideCompaction: tables that go while they are read are no damage, and kill nobody.
func TestTablesAreReadBesideCompaction(t *testing.T) {
	s := open(t, options(t.TempDir()))
	defer closeStore(t, s)
	done := make(chan error, 1)
	go func() {
		for range 20 {
			if err := errors.Join(s.Burst(t.Context(), 500, 4<<10), s.Compact()); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for reads := 0; ; reads++ {
		select {
		case err := <-done:
			if t.Logf("all tables were read %d times", reads); err != nil || reads == 0 {
				t.Error(reads, err)
			}
			return
		default:
			if _, err := s.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}
