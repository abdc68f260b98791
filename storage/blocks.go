package storage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/ristretto/v2"

	"github.com/sealgate/sealgate/inbox"
)

// The engine takes a block whose checksum does not hold for one that has nothing in it, wherever it reads: a row in it is missing,
// and whoever compacts its table leaves out what is behind it. So all tables are read beside the engine, at the start and once a
// day, and when a read misses what must be there. A store with such a block takes nothing any more, which also ends the
// compactions; all that is elsewhere can be read.

// readEvery is how often all tables are read.
const readEvery = 24 * time.Hour

// watchTables reads all tables until the store is closed or damage is found.
func (s *Store) watchTables() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-s.stop
		cancel()
	}()
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for doubt := s.doubt; s.harm.Load() == nil; {
		_ = s.readTables(ctx) // damage was told, and of all else the next time hears
		select {
		case <-ctx.Done():
			return
		case <-doubt:
			doubt = nil // what is missing though every checksum holds stays so
		case <-tick.C:
			doubt = s.doubt
		}
	}
}

// readTables makes sure of every block of the tables that the manifest names, while they come and go. Damage is ErrDamaged, and
// the store takes nothing any more.
func (s *Store) readTables(ctx context.Context) error {
	s.life.RLock()
	o, closed := badgerOptions(s.opt), s.closed
	s.life.RUnlock()
	if closed {
		return errClosed
	}
	err := readTables(ctx, o)
	if errors.Is(err, ErrDamaged) && s.harm.CompareAndSwap(nil, &err) {
		refuses := fmt.Errorf("%w: %w", inbox.ErrUnavailable, err)
		s.broken.CompareAndSwap(nil, &refuses)
		s.opt.Log.Error("store is damaged: it takes no messages, and what is in the damaged block cannot be read; see sealgate check --store, restore the last backup",
			"path", s.opt.Path, "error", err)
	}
	return err
}

func readTables(ctx context.Context, o badger.Options) error {
	listed, err := listedTables(o)
	if err != nil || len(listed) == 0 {
		return err
	}
	keys, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: o.Dir, ReadOnly: true, EncryptionKey: o.EncryptionKey})
	if err != nil {
		return err
	}
	defer keys.Close() //nolint:errcheck // it is only read
	index, err := ristretto.NewCache(&ristretto.Config[uint64, *fb.TableIndex]{NumCounters: 64, MaxCost: o.IndexCacheSize, BufferItems: 64})
	if err != nil {
		return err
	}
	defer index.Close()
	var data bytes.Buffer
	for id, one := range listed {
		name := table.NewFilename(id, o.Dir)
		key, err := keys.DataKey(one.KeyID)
		if err == nil {
			err = readFile(&data, name)
		}
		if err == nil {
			err = readTable(data.Bytes(), id, table.Options{ReadOnly: true, ChkMode: options.OnBlockRead, DataKey: key, IndexCache: index})
		}
		if errors.Is(err, errRecord) || errors.Is(err, fs.ErrNotExist) {
			err = stillListed(o, id)
		}
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// stillListed is ErrDamaged for a table that could not be read, unless it was compacted away meanwhile: the engine takes it out of the
// manifest first.
func stillListed(o badger.Options, id uint64) error {
	listed, err := listedTables(o)
	if _, ok := listed[id]; ok && err == nil {
		return fmt.Errorf("%w: %s is not what it was", ErrDamaged, filepath.Base(table.NewFilename(id, o.Dir)))
	}
	return err
}

// readFile reads all of it. It is not mapped, for the engine cuts files short before it removes them, and who then reads what was mapped is
// killed.
func readFile(into *bytes.Buffer, name string) error {
	into.Reset()
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is only read
	if info, err := f.Stat(); err == nil {
		into.Grow(int(info.Size()) + bytes.MinRead) // or it would grow by doubling
	}
	_, err = into.ReadFrom(f)
	return err
}

// readTable counts the rows, which end where a block cannot be read.
func readTable(data []byte, id uint64, o table.Options) (err error) {
	defer func() {
		if recover() != nil { // the engine trusts the lengths in a block
			err = errRecord
		}
	}()
	t, err := table.OpenInMemoryTable(data, id, &o)
	if err != nil {
		return errors.Join(errRecord, err)
	}
	it, rows := t.NewIterator(table.NOCACHE), uint32(0)
	defer it.Close() //nolint:errcheck // it was only read
	for it.Rewind(); it.Valid(); it.Next() {
		rows++
	}
	if rows != t.KeyCount() {
		return errRecord
	}
	return nil
}
