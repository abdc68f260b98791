package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

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
	tables, err := filepath.Glob(filepath.Join(whole, "*.sst"))
	if err != nil || len(tables) != 1 {
		t.Fatal(tables, err)
	}
	table, err := os.ReadFile(tables[0])
	if err != nil {
		t.Fatal(err)
	}
	reads, refused, errs := 0, 0, 0
	for at := 0; at < len(table); at += 4099 {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		changed := bytes.Clone(table)
		changed[at] ^= 0x10
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(tables[0])), changed, 0o600); err != nil {
			t.Fatal(err)
		}
		o, metrics, log := options(dir), prometheus.NewRegistry(), new(bytes.Buffer)
		o.Metrics, o.Log = metrics, slog.New(slog.NewTextHandler(log, nil))
		s, err := storage.Open(o)
		if err != nil {
			if !strings.Contains(err.Error(), "restore the last backup") {
				t.Errorf("byte %d: refused with %v", at, err)
			}
			refused++
			continue
		}
		if _, err := s.Verify(t.Context()); !errors.Is(err, storage.ErrDamaged) || !strings.Contains(err.Error(), filepath.Base(tables[0])) {
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
