package storage

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// A transaction may fill 15 % of a memtable (Badger's rule), so the memtable decides how much one group can carry. No more than that: the engine
// keeps eight buffers that have held such a table and its encrypted copy, of 28 MiB each (60 for a memtable of 16), and the more of the budget
// they have, the more often the collector runs.
const minMemTable = 12 << 20

// baseLevel is how many bytes the level has that tables from memory are merged into. What comes is spread over all mailboxes, so each merge
// rewrites the level whole, and then what it overlaps in the next; with 10 MiB, the engine's own choice, most writing was that. Its room is
// needed once more while it is rewritten (Options.Reserve).
const baseLevel = 128 << 20

// memTable is how many bytes Badger gathers before it writes a table.
func memTable(o Options) int64 { return max(minMemTable, 8*(o.MaxMessage+(64<<10))) }

// openBadger opens the engine with its memory kept small. Commit timestamps are
// ours (managed mode), which is what lets reads stay on the last synced one.
func openBadger(o Options, b badger.Options) (*badger.DB, error) {
	if err := intact(b); err != nil {
		return nil, err
	}
	if err := fits(b); err != nil {
		return nil, err
	}
	if err := unmark(b.Dir); err != nil {
		return nil, fmt.Errorf("begin to use the store (storage.path): %w", err)
	}
	db, err := badger.OpenManaged(b)
	if err != nil {
		return nil, fmt.Errorf("open the store %s (storage.path): %w; unless the disk is full or unreadable, or files of the store are another user's, it is damaged: move it away and restore the last backup", o.Path, err)
	}
	return db, nil
}

// fits refuses the wrong key before the engine changes anything.
func fits(o badger.Options) error {
	registry, err := badger.OpenKeyRegistry(badger.KeyRegistryOptions{Dir: o.Dir, ReadOnly: true, EncryptionKey: o.EncryptionKey})
	if errors.Is(err, badger.ErrEncryptionKeyMismatch) {
		return fmt.Errorf("%w: storage.encryption_key does not open %s; put the key back that made it", ErrKey, o.Dir)
	}
	if err != nil {
		return nil //nolint:nilerr // the engine says it again
	}
	return registry.Close()
}

func badgerOptions(o Options) badger.Options {
	b := badger.DefaultOptions(o.Path)
	b.Logger = engineLog{o.Log}
	b.EncryptionKey = o.Key
	b.MemTableSize = memTable(o)
	b.NumMemtables = 3
	b.NumLevelZeroTables = 6
	b.NumLevelZeroTablesStall = 18
	b.NumCompactors = 2
	b.BaseLevelSize = baseLevel
	b.BlockCacheSize = 8 << 20
	b.IndexCacheSize = 16 << 20
	b.BlockSize = 16 << 10 // the index, read and kept for each table, is a quarter of that for blocks of 4 KiB
	b.ValueLogFileSize = 1 << 20
	b.Compression = options.None                     // base64 of ciphertext does not shrink under Snappy
	b.ChecksumVerificationMode = options.OnBlockRead // or a changed byte would be read as it is: the cipher does not notice
	b.MetricsEnabled = false                         // expvar, process-wide
	b.DetectConflicts = false                        // one committer
	b.SyncWrites = false                             // the committer syncs, and looks at the answer
	// Nothing may reach the value log, whose space was never reclaimed after expiry:
	// larger messages are cut in parts.
	b.ValueThreshold = 1 << 20
	return b
}

// calmed are the options of an engine that never writes of its own accord.
func calmed(b badger.Options) badger.Options {
	b.NumCompactors, b.NumLevelZeroTablesStall = 0, 1<<20
	return b
}

// engineLog gives Badger's lines to slog. Its lines name files and sizes; of our
// keys only bucket serials and keyed hashes could ever show.
type engineLog struct{ log *slog.Logger }

// Errorf implements badger.Logger.
func (l engineLog) Errorf(format string, args ...any) {
	l.log.Warn("store engine reports an error", "line", line(format, args))
}

// Warningf implements badger.Logger.
func (l engineLog) Warningf(format string, args ...any) { l.debug(format, args) }

// Infof implements badger.Logger.
func (l engineLog) Infof(format string, args ...any) { l.debug(format, args) }

// Debugf implements badger.Logger. Badger calls it for every write; its text is
// of no use to an operator.
func (l engineLog) Debugf(string, ...any) {}

func (l engineLog) debug(format string, args []any) {
	l.log.Debug("store engine", "line", line(format, args))
}

func line(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}
