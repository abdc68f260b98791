package storage_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

const savedMessages = 160

// saved fills a store with what a backup of six segments holds.
func saved(t *testing.T, s *storage.Store) {
	t.Helper()
	var ms []inbox.Message
	for i := range savedMessages {
		m := inboxtest.Sample("bob", i)
		m.Activity = bytes.Repeat([]byte{byte(i)}, 36<<10)
		ms = append(ms, m)
	}
	if _, err := s.Append(t.Context(), ms); err != nil {
		t.Fatal(err)
	}
	if err := s.Keep(t.Context(), "changing", []byte("as saved")); err != nil {
		t.Fatal(err)
	}
}

// asSaved holds a finished backup against what saved wrote.
func asSaved(t *testing.T, file []byte) {
	t.Helper()
	back := restored(t, file)
	es := everything(t, back)
	if len(es) != savedMessages {
		t.Fatalf("%d messages came back, want %d", len(es), savedMessages)
	}
	for i, e := range es {
		if want := bytes.Repeat([]byte{byte(i)}, 36<<10); e.Position != inbox.Position(i+1) || !bytes.Equal(e.Activity, want) {
			t.Errorf("message %d is another one, at %d", i, e.Position)
		}
	}
	if value, err := back.Kept(t.Context(), "changing"); err != nil || string(value) != "as saved" {
		t.Errorf("a value of another moment: %q, %v", value, err)
	}
}

// brief takes so many bytes, and the last of them torn, as a full disk does.
type brief struct {
	bytes.Buffer
	room int
}

func (b *brief) Write(p []byte) (int, error) {
	n, _ := b.Buffer.Write(p[:min(len(p), b.room)])
	if b.room -= n; n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// TestBackupGoesOn: cut off at any byte, with a store that changes, is compacted and is opened anew in between, a
// backup goes on where it was, and what comes of it is that of its first moment.
func TestBackupGoesOn(t *testing.T) {
	o := options(t.TempDir())
	s, err := storage.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	saved(t, s)
	there := rowsThere(t, s)
	var file []byte
	for n, room := range []int{10, 700_000, 1_200_000, 1_500_000, 1, 2_400_000, 1_048_576, 1 << 30} {
		spot, err := storage.FindSpot(t.Context(), key(1), bytes.NewReader(file), nil)
		if err != nil || spot.Offset > int64(len(file)) || spot.Whole {
			t.Fatalf("try %d: %+v, %v", n, spot, err)
		}
		if len(file) > 1<<21 && len(file)-int(spot.Offset) > 1<<21 {
			t.Errorf("try %d: only %d of %d bytes are gone on with", n, spot.Offset, len(file))
		}
		out := &brief{room: room}
		var told []int64
		_, err = s.Backup(t.Context(), out, spot, func(a storage.Amount) { told = append(told, a.Bytes) })
		if broke := room < 1<<30; broke != errors.Is(err, io.ErrShortWrite) {
			t.Fatalf("try %d: %v", n, err)
		}
		if n > 0 && (len(told) == 0 || told[0] < spot.Bytes) {
			t.Errorf("try %d, from %d bytes on: told %d", n, spot.Bytes, told)
		}
		file = append(file[:spot.Offset], out.Bytes()...)
		if n >= 2 { // before, no segment is whole: the next try begins anew
			change(t, s, n)
		}
		if n%2 == 0 {
			closeStore(t, s)
			if s, err = storage.Open(o); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() { closeStore(t, s) })
	asSaved(t, file)
	unusable(t, key(1), exchanged(file), "with two segments exchanged")
	whole, err := storage.FindSpot(t.Context(), key(1), bytes.NewReader(file), nil)
	if err != nil || !whole.Whole || whole.Offset != int64(len(file)) || whole.Rows != there {
		t.Errorf("a whole backup of %d rows: %+v, %v", there, whole, err)
	}
}

func rowsThere(t *testing.T, s *storage.Store) (n int64) {
	t.Helper()
	kinds, err := s.KindsThere()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range kinds {
		n += int64(one)
	}
	return n
}

// exchanged gives the file with its first segment behind its second.
func exchanged(file []byte) []byte {
	const head = 18 + 32 + 8
	first := head + 4 + int(binary.BigEndian.Uint32(file[head:]))
	second := first + 4 + int(binary.BigEndian.Uint32(file[first:]))
	return slices.Concat(file[:head], file[first:second], file[head:first], file[second:])
}

// change has the store forget what it held, as far as it may.
func change(t *testing.T, s *storage.Store, n int) {
	t.Helper()
	if err := s.Keep(t.Context(), "changing", fmt.Append(nil, n)); err != nil {
		t.Fatal(err)
	}
	if err := s.Trim(t.Context(), "bob", inbox.Position(20*n)); err != nil {
		t.Fatal(err)
	}
	appendOne(t, s, inboxtest.Sample("bob", 1000+n))
	if err := s.Compact(); err != nil {
		t.Fatal(err)
	}
}

// TestBackupMoments: a backup is gone on with only as long as the store still has what it held then.
func TestBackupMoments(t *testing.T) {
	clock := inboxtest.NewClock()
	o := options(t.TempDir())
	o.Clock = clock.Now
	s := open(t, o)
	saved(t, s)
	breakOff := func() storage.Spot {
		t.Helper()
		out := &brief{room: 2 << 20}
		if _, err := s.Backup(t.Context(), out, storage.Spot{}, nil); !errors.Is(err, io.ErrShortWrite) {
			t.Fatal(err)
		}
		spot, err := storage.FindSpot(t.Context(), key(1), &out.Buffer, nil)
		if err != nil || spot.Rows == 0 {
			t.Fatal(spot, err)
		}
		return spot
	}
	gone := func(spot storage.Spot, why string) {
		t.Helper()
		if _, err := s.Backup(t.Context(), io.Discard, spot, nil); !errors.Is(err, storage.ErrMoment) {
			t.Errorf("%s: %v", why, err)
		}
	}
	first := breakOff()
	second := breakOff()
	gone(first, "after another began")
	clock.Advance(storage.MomentKept - time.Minute)
	if _, err := s.Backup(t.Context(), io.Discard, second, nil); err != nil {
		t.Error(err)
	}
	clock.Advance(storage.MomentKept - time.Minute) // prolonged by going on
	if _, err := s.Backup(t.Context(), io.Discard, second, nil); err != nil {
		t.Error(err)
	}
	clock.Advance(storage.MomentKept)
	gone(second, "after its time")
	third := breakOff()
	var other bytes.Buffer
	if _, err := s.Backup(t.Context(), &other, storage.Spot{}, nil); err != nil {
		t.Fatal(err)
	}
	again := o
	o.Path = filepath.Join(t.TempDir(), "store")
	if _, err := storage.Restore(t.Context(), o, &other, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, o).Backup(t.Context(), io.Discard, third, nil); !errors.Is(err, storage.ErrMoment) {
		t.Errorf("in another store: %v", err)
	}
	fourth := breakOff()
	if err := s.BackupIsDone(t.Context()); err != nil {
		t.Error(err)
	}
	gone(fourth, "after it was done")
	closeStore(t, s)
	s = open(t, again)
	gone(fourth, "after it was done, and after a restart")
}

// TestFindSpotRefuses: what is no torn backup is not cut down to one.
func TestFindSpotRefuses(t *testing.T) {
	s := open(t, options(t.TempDir()))
	appendOne(t, s, inboxtest.Sample("bob", 1))
	var file bytes.Buffer
	if _, err := s.Backup(t.Context(), &file, storage.Spot{}, nil); err != nil {
		t.Fatal(err)
	}
	for why, refused := range map[string]struct{ key, file []byte }{
		"another key":  {key(2), file.Bytes()},
		"another file": {key(1), bytes.Repeat([]byte("my only photograph "), 100)},
	} {
		if spot, err := storage.FindSpot(t.Context(), refused.key, bytes.NewReader(refused.file), nil); !errors.Is(err, storage.ErrBackup) {
			t.Errorf("%s: %+v, %v", why, spot, err)
		}
	}
}

const saverPath = "SEALGATE_TEST_CHILD_SAVER"

// saveToStdout writes a backup, or its rest, to standard output while it changes the store.
func saveToStdout(path, spot string) error {
	s, err := storage.Open(options(path))
	if err != nil {
		return err
	}
	var from storage.Spot
	if err := json.Unmarshal([]byte(spot), &from); err != nil {
		return err
	}
	_, err = s.Backup(context.Background(), &changing{s: s}, from, nil)
	return err
}

// changing changes the store before everything it writes.
type changing struct {
	s *storage.Store
	n int
}

func (c *changing) Write(p []byte) (int, error) {
	c.n++
	ctx := context.Background()
	err := errors.Join(c.s.Keep(ctx, "changing", fmt.Append(nil, os.Getpid())), c.s.Trim(ctx, "bob", inbox.Position(c.n)))
	if err != nil {
		return 0, err
	}
	return os.Stdout.Write(p)
}

// TestKillBackup kills the process that writes a backup, which is the one that has the store, again and again in
// the middle. The last one goes on to the end.
func TestKillBackup(t *testing.T) {
	path := t.TempDir()
	s, err := storage.Open(options(path))
	if err != nil {
		t.Fatal(err)
	}
	saved(t, s)
	closeStore(t, s)
	var file []byte
	kills := 0
	for step := 1_200_000; ; step += 100_000 {
		spot, err := storage.FindSpot(t.Context(), key(1), bytes.NewReader(file), nil)
		if err != nil {
			t.Fatal(err)
		}
		if spot.Whole {
			break
		}
		rest, whole := saveAndKill(t, path, spot, step)
		if file = append(file[:spot.Offset], rest...); !whole {
			kills++
		}
	}
	if kills < 3 {
		t.Errorf("only %d kills", kills)
	}
	asSaved(t, file)
	t.Logf("%d kills, %d bytes", kills, len(file))
}

func saveAndKill(t *testing.T, path string, spot storage.Spot, bytes int) (rest []byte, whole bool) {
	t.Helper()
	from, err := json.Marshal(spot)
	if err != nil {
		t.Fatal(err)
	}
	child, out := spawn(t, saverPath+"="+path, fmt.Sprintf("%s_SPOT=%s", saverPath, from))
	rest, err = io.ReadAll(io.LimitReader(out, int64(bytes)))
	if err != nil {
		t.Fatal(err)
	}
	if whole = len(rest) < bytes; !whole {
		child.Process.Kill() // the pipe is full, or it is about to end
	}
	if err := child.Wait(); whole && err != nil { // the kill is its error
		t.Fatal(err)
	}
	return rest, whole
}

// FuzzBackup: whatever the file, what FindSpot says can be gone on from is a beginning of the file, and whole
// exactly if it verifies.
func FuzzBackup(f *testing.F) {
	s, err := storage.Open(options(f.TempDir()))
	if err != nil {
		f.Fatal(err)
	}
	var file bytes.Buffer
	_, err = s.Backup(f.Context(), &file, storage.Spot{}, nil)
	if err := errors.Join(err, s.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add(append(file.Bytes(), 0))
	f.Add(file.Bytes()[:file.Len()-1])
	f.Fuzz(func(t *testing.T, file []byte) {
		spot, err := storage.FindSpot(t.Context(), key(1), bytes.NewReader(file), nil)
		if err != nil {
			return
		}
		if spot.Offset > int64(len(file)) {
			t.Fatalf("%d of %d bytes", spot.Offset, len(file))
		}
		amount, err := storage.VerifyBackup(t.Context(), key(1), bytes.NewReader(file[:spot.Offset]), nil)
		if spot.Whole != (err == nil) || spot.Whole && !reflect.DeepEqual(amount, spot.Amount) {
			t.Errorf("%+v, and verified %+v, %v", spot, amount, err)
		}
	})
}
