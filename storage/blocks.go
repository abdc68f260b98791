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
	"golang.org/x/sys/unix"

	"github.com/sealgate/sealgate/inbox"
)

// The engine takes a block whose checksum does not hold for one that has nothing in it, wherever it reads: a row in it is missing,
// and whoever compacts its table leaves out what is behind it. So all tables are read beside the engine, at the start and once a
// day, and when a read misses what must be there. A store with such a block takes nothing any more, which also ends the
// compactions; all that is elsewhere can be read.

// readEvery is how often all tables are read.
const readEvery = 24 * time.Hour

// watchTables reads all tables until the store is closed or damage is found, the first time without the locks of those who wait for it.
func (s *Store) watchTables(engine badger.Options) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-s.stop
		cancel()
	}()
	_ = s.tell(readTables(ctx, engine)) // of all else the next time hears
	if ctx.Err() == nil {
		close(s.looked)
	}
	tick := time.NewTicker(readEvery)
	defer tick.Stop()
	for doubt := s.doubt; s.harm.Load() == nil; _ = s.readTables(ctx) {
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
	return s.tell(readTables(ctx, o))
}

// absent says whether a mailbox that was not found is not there: nobody knows before all tables were read once, nor when one is damaged.
func (s *Store) absent(ctx context.Context) error {
	select {
	case <-s.looked:
	case <-s.stop:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	if harm := s.harm.Load(); harm != nil {
		return *harm
	}
	return nil
}

// tell takes damage down.
func (s *Store) tell(err error) error {
	refuses := fmt.Errorf("%w: %w", inbox.ErrUnavailable, err)
	if errors.Is(err, ErrDamaged) && s.harm.CompareAndSwap(nil, &refuses) {
		s.broken.CompareAndSwap(nil, &refuses)
		s.opt.Log.Error("store is damaged: it takes no messages, and what is in the damaged block cannot be read; see sealgate check --store, restore the last backup",
			"path", s.opt.Path, "error", err)
	}
	return err
}

// unhurt runs what reads through the engine, which trusts the lengths in a block before it asks the checksum, and panics. Whether it did
// is seen in the tables.
func (s *Store) unhurt(f func() error) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if err = s.readTables(context.Background()); !errors.Is(err, ErrDamaged) {
			panic(p)
		}
		err = *s.harm.Load()
	}()
	return f()
}

func readTables(ctx context.Context, o badger.Options) error {
	listed, err := listedTables(o)
	if err != nil || len(listed) == 0 {
		return err
	}
	r, err := newTableReader(o)
	if err != nil {
		return err
	}
	defer r.close()
	for id, one := range listed {
		err := r.whole(id, one)
		if errors.Is(err, errRecord) || errors.Is(err, fs.ErrNotExist) {
			err = stillListed(o, id)
		}
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// tableReader reads tables beside the engine. What is damaged is errRecord.
type tableReader struct {
	dir   string
	keys  *badger.KeyRegistry
	index *ristretto.Cache[uint64, *fb.TableIndex]
	data  bytes.Buffer
}

func newTableReader(o badger.Options) (*tableReader, error) {
	keys, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: o.Dir, ReadOnly: true, EncryptionKey: o.EncryptionKey})
	if err != nil {
		return nil, err
	}
	index, err := ristretto.NewCache(&ristretto.Config[uint64, *fb.TableIndex]{NumCounters: 64, MaxCost: o.IndexCacheSize, BufferItems: 64})
	if err != nil {
		return nil, errors.Join(err, keys.Close())
	}
	return &tableReader{dir: o.Dir, keys: keys, index: index}, nil
}

func (r *tableReader) close() {
	r.index.Close()
	_ = r.keys.Close() // it was only read
}

func (r *tableReader) options(one badger.TableManifest) (*table.Options, error) {
	key, err := r.keys.DataKey(one.KeyID)
	return &table.Options{ReadOnly: true, ChkMode: options.OnBlockRead, DataKey: key, IndexCache: r.index}, err
}

// whole reads all of a table and counts the rows, which end where a block cannot be read.
func (r *tableReader) whole(id uint64, one badger.TableManifest) error {
	o, err := r.options(one)
	if err == nil {
		err = readFile(&r.data, table.NewFilename(id, r.dir))
	}
	if err != nil {
		return err
	}
	return trusting(func() error {
		t, err := table.OpenInMemoryTable(r.data.Bytes(), id, o)
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
	})
}

// end reads what the engine reads when it opens a table, the index and the last block. Nobody may use the table meanwhile.
func (r *tableReader) end(id uint64, one badger.TableManifest) error {
	o, err := r.options(one)
	if err != nil {
		return err
	}
	f, err := os.Open(table.NewFilename(id, r.dir))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	defer unix.Munmap(data) //nolint:errcheck // it was only read
	return trusting(func() error {
		if _, err := table.OpenInMemoryTable(data, id, o); err != nil {
			return errors.Join(errRecord, err)
		}
		return nil
	})
}

// trusting runs what trusts the lengths in a block.
func trusting(f func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errRecord
		}
	}()
	return f()
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
