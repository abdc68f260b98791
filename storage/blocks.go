package storage

import (
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
	"github.com/dgraph-io/ristretto/v2/z"

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
	for id, one := range listed {
		key, err := keys.DataKey(one.KeyID)
		if err == nil {
			err = readTable(table.NewFilename(id, o.Dir), table.Options{ReadOnly: true, ChkMode: options.OnBlockRead, DataKey: key, IndexCache: index})
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // it was compacted away
		case errors.Is(err, errRecord):
			return fmt.Errorf("%w: a block of %s is not what it was", ErrDamaged, filepath.Base(table.NewFilename(id, o.Dir)))
		case err != nil:
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// readTable counts the rows, which end where a block cannot be read.
func readTable(name string, o table.Options) (err error) {
	file, err := z.OpenMmapFile(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() {
		if recover() != nil { // the engine trusts the lengths in a block
			err = errRecord
		}
		_ = file.Close(-1) // it was only read
	}()
	t, err := table.OpenTable(file, o)
	if err != nil {
		return errors.Join(errRecord, err)
	}
	it, rows := t.NewIterator(table.NOCACHE), uint32(0)
	defer it.Close() //nolint:errcheck // as above
	for it.Rewind(); it.Valid(); it.Next() {
		rows++
	}
	if rows != t.KeyCount() {
		return errRecord
	}
	return nil
}
