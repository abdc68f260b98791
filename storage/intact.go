package storage

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/table"
)

// intact refuses a directory of the engine's that was copied or mended in part, before the engine sees it: without its
// manifest it would delete every table as unknown and begin anew, without its key registry or with a table cut
// short it would panic. After an orderly end the manifest must be what it was then, and after a crash it must not lack a table
// (cutoff.go): a shorter one the engine would take for cut by the crash, and delete the tables it lacks. The error wraps
// ErrDamaged. What else is wrong is left to the engine to say.
func intact(o badger.Options) error {
	if err := asClosed(o.Dir); err != nil {
		return err
	}
	listed, err := listedTables(o)
	if err != nil || listed == nil {
		return err
	}
	others, err := unlistedTables(o.Dir, listed)
	if err != nil || len(listed)+len(others) == 0 {
		return err
	}
	if _, err := os.Stat(filepath.Join(o.Dir, badger.KeyRegistryFileName)); errors.Is(err, fs.ErrNotExist) {
		return damaged(o.Dir, badger.KeyRegistryFileName+" is missing")
	}
	for id := range listed {
		name := table.NewFilename(id, o.Dir)
		switch _, err := readIndex(name); {
		case errors.Is(err, fs.ErrNotExist):
			return damaged(o.Dir, filepath.Base(name)+" is missing")
		case errors.Is(err, errRecord):
			return damaged(o.Dir, filepath.Base(name)+" is cut short or overwritten")
		case err != nil:
			return fmt.Errorf("look at the store (storage.path): %w", err)
		}
	}
	r, err := newTableReader(o)
	if err != nil {
		return nil // the engine says it again
	}
	defer r.close()
	for id, one := range listed {
		if err := r.end(id, one); errors.Is(err, errRecord) { // the engine would panic where nobody can recover
			return damaged(o.Dir, filepath.Base(table.NewFilename(id, o.Dir))+" is not what it was")
		}
	}
	return r.noneCutOff(listed, others)
}

// closedName is of the file that an orderly end leaves beside the engine's: the manifest's hash. It is not there while
// the engine is open.
const closedName = "CLOSED"

func markClosed(dir string) error {
	sum, err := manifestSum(dir)
	if err != nil {
		return err
	}
	return publish(filepath.Join(dir, closedName), sum)
}

// unmark is durable before the engine changes anything.
func unmark(dir string) error {
	err := os.Remove(filepath.Join(dir, closedName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncFile(dir)
	}
	return err
}

func asClosed(dir string) error {
	was, err := os.ReadFile(filepath.Join(dir, closedName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	is := ""
	if err == nil {
		is, err = manifestSum(dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at the store (storage.path): %w", err)
	}
	if is != string(was) {
		return damaged(dir, badger.ManifestFilename+" is not what it was when the store was closed (remove "+closedName+" if an older program had it open since)")
	}
	return nil
}

func manifestSum(dir string) (string, error) {
	manifest, err := os.ReadFile(filepath.Join(dir, badger.ManifestFilename))
	return fmt.Sprintf("%x\n", sha256.Sum256(manifest)), err
}

// listedTables are those the manifest names; nil without one, or with one that the engine will refuse.
func listedTables(o badger.Options) (map[uint64]badger.TableManifest, error) {
	f, err := os.Open(filepath.Join(o.Dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		tables, err := filepath.Glob(filepath.Join(o.Dir, "*.sst"))
		if err == nil && len(tables) > 0 {
			err = damaged(o.Dir, badger.ManifestFilename+" is missing")
		}
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("look at the store (storage.path): %w", err)
	}
	defer f.Close() //nolint:errcheck // it is only read
	manifest, _, err := badger.ReplayManifestFile(f, o.ExternalMagicVersion, o)
	if err != nil {
		return nil, nil //nolint:nilnil // the engine says it again
	}
	return manifest.Tables, nil
}

func damaged(path, what string) error {
	return fmt.Errorf("%w: %s; put the file back, or move %s (storage.path) away and restore the last backup", ErrDamaged, what, path)
}

// tableIndex is the end of a table, encrypted as it is there.
type tableIndex struct {
	bytes []byte
	at    int64 // where it begins, and the blocks end
}

// readIndex follows the lengths at a table's end, which the engine trusts: of the index's checksum, then of the index.
func readIndex(name string) (tableIndex, error) {
	f, err := os.Open(name)
	if err != nil {
		return tableIndex{}, err
	}
	defer f.Close() //nolint:errcheck // it is only read
	end, err := f.Seek(0, io.SeekEnd)
	var length [4]byte
	for range 2 {
		if end -= int64(len(length)); err != nil || end < 0 {
			return tableIndex{}, errors.Join(err, errRecord)
		}
		_, err = f.ReadAt(length[:], end)
		end -= int64(binary.BigEndian.Uint32(length[:]))
	}
	if err != nil || end < 0 {
		return tableIndex{}, cmp.Or(err, errRecord)
	}
	index := tableIndex{make([]byte, binary.BigEndian.Uint32(length[:])), end}
	_, err = f.ReadAt(index.bytes, index.at)
	return index, err
}
