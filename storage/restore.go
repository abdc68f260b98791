package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
)

// ErrExists says that there is a store where one should be restored.
var ErrExists = errors.New("storage: a store is there already")

// burnTogether is how many people's key packages one transaction burns.
const burnTogether = 16

// Restore makes a new store at o.Path from a backup. The store appears there whole,
// synced and verified, or not at all; a restore that was interrupted is begun anew. Key packages that
// inviters may have got after the backup was made are burnt (see inbox.Burn). The
// errors a caller can act on wrap ErrExists or ErrBackup.
func Restore(ctx context.Context, o Options, r io.Reader, told Progress) (Amount, error) {
	final, err := vacant(o.Path)
	if err != nil {
		return Amount{}, err
	}
	o.Path = final + ".restoring"
	if o, err = o.complete(); err != nil {
		return Amount{}, err
	}
	if err := os.RemoveAll(o.Path); err != nil {
		return Amount{}, fmt.Errorf("clear what an interrupted restore left: %w", err)
	}
	amount, err := fillFrom(ctx, o, r, told)
	if err == nil {
		err = burn(ctx, o)
	}
	if err == nil {
		err = appear(o.Path, final)
	}
	if err != nil {
		return amount, errors.Join(err, os.RemoveAll(o.Path))
	}
	return amount, nil
}

// vacant refuses a path where anything is. It gives the path without what would
// make a neighbour's name of it a child's.
func vacant(path string) (string, error) {
	path = filepath.Clean(path)
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	if err != nil {
		return "", fmt.Errorf("look at storage.path: %w", err)
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("%w: %s (storage.path) is not empty; stop the gateway and move it away first", ErrExists, path)
	}
	return path, nil
}

func fillFrom(ctx context.Context, o Options, r io.Reader, told Progress) (Amount, error) {
	if err := prepareDir(o, newDisk(o)); err != nil {
		return Amount{}, err
	}
	db, err := openBadger(o, badgerOptions(o))
	if err != nil {
		return Amount{}, err
	}
	batch := db.NewWriteBatchAt(1)
	amount, err := readBackup(ctx, o.Key, r, told, batch.SetEntry)
	if err == nil {
		err = batch.Flush()
	} else {
		batch.Cancel()
	}
	return amount, errors.Join(err, db.Close())
}

// burn opens the store as any start does, which checks its format, and spends what
// may have been handed out.
func burn(ctx context.Context, o Options) error {
	o.Metrics = nil
	s, err := Open(o)
	if errors.Is(err, ErrFormat) {
		return fmt.Errorf("what the backup holds: %w", err)
	}
	if err != nil {
		return err
	}
	boxes, err := s.pools(ctx)
	for len(boxes) > 0 && err == nil {
		n := min(burnTogether, len(boxes))
		err = s.burnPools(ctx, boxes[:n])
		boxes = boxes[n:]
	}
	return errors.Join(err, s.Close())
}

// pools lists everybody who has a key directory.
func (s *Store) pools(ctx context.Context) (boxes []hashed, err error) {
	err = s.scan(ctx, []byte{poolKey}, func(r *badger.Entry) error {
		if len(r.Key) == 1+len(hashed{}) { // a head
			boxes = append(boxes, hashed(r.Key[1:]))
		}
		return nil
	})
	return boxes, err
}

func (s *Store) burnPools(ctx context.Context, boxes []hashed) error {
	return s.submit(ctx, &request{weight: s.groupBytes, change: func(p *post) error {
		for _, box := range boxes {
			kept, err := p.pool(box, &pool{})
			if err != nil {
				return err
			}
			c := kept.copy()
			inbox.Burn(&c.Pool, p.now)
			if err := p.keepPool(box, kept, c); err != nil {
				return err
			}
		}
		return nil
	}})
}

// appear syncs the finished store and gives it its name.
func appear(made, final string) error {
	entries, err := os.ReadDir(made)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := syncFile(filepath.Join(made, e.Name())); err != nil {
			return err
		}
	}
	if err := syncFile(made); err != nil {
		return err
	}
	if err := os.Remove(final); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err // empty a moment ago
	}
	if err := os.Rename(made, final); err != nil {
		return err
	}
	return syncFile(filepath.Dir(final))
}
