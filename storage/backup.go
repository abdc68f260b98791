package storage

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// MomentKept is how long a backup that broke off can be gone on with: so long the store keeps what it held at the
// backup's moment, also over restarts, unless another backup begins.
const MomentKept = 12 * time.Hour

// ErrBackup is a backup that is cut short, was changed, is none, or opens with another key. ErrMoment is one that
// cannot be gone on with any more.
var (
	ErrBackup = errors.New("storage: unusable backup")
	ErrMoment = errors.New("storage: what the store held when this backup began is no longer kept; remove its .part file and begin anew")
)

// Spot is how far a backup got: after the last whole segment. The zero Spot is the beginning of a new one.
type Spot struct {
	Amount
	Offset int64  // of the file's bytes, those up to there are good
	Moment uint64 // of the store
	Salt   []byte
	Chain  []byte // ties the next segment to the last one
	After  []byte // the last row's key
	Whole  bool   // nothing is missing
}

// Backup writes to w all that was durable at one moment, encrypted under the store's key, row by row. Reads and writes
// go on meanwhile. A table in which a checksum does not hold is ErrDamaged, before anything is written. What w has got before an error is no backup, and Restore refuses it; FindSpot finds where in it
// another call goes on. BackupIsDone lets go of the moment afterwards.
func (s *Store) Backup(ctx context.Context, w io.Writer, from Spot, told Progress) (Amount, error) {
	from, err := s.atMoment(ctx, from)
	if err != nil {
		return Amount{}, err
	}
	if from.After == nil {
		if err := s.readTables(ctx); err != nil {
			return from.Amount, err // or damage would stand in it as if it were whole
		}
	}
	s.pins.add(from.Moment, 1)
	defer s.pins.add(from.Moment, -1)
	out, err := newBackupWriter(w, s.key(), from, told)
	if err != nil {
		return from.Amount, fmt.Errorf("begin a backup: %w", err)
	}
	next := []byte{}
	if from.After != nil {
		next = append(slices.Clone(from.After), 0)
	}
	if err := s.scanAt(ctx, from.Moment, []byte{}, next, out.write); err != nil {
		return out.amount, fmt.Errorf("write a backup: %w", err)
	}
	if err := out.end(); err != nil {
		return out.amount, fmt.Errorf("end a backup: %w", err)
	}
	return out.amount, nil
}

// BackupIsDone says that nobody will go on with the last backup.
func (s *Store) BackupIsDone(ctx context.Context) error {
	s.pins.hold(moment{})
	return s.keepMoment(ctx, nil)
}

// moment is that of a backup which can be gone on with.
type moment struct {
	At    uint64
	Salt  []byte // of the one backup
	Until time.Time
}

// atMoment begins a new backup's moment, or finds and prolongs that of from.
func (s *Store) atMoment(ctx context.Context, from Spot) (Spot, error) {
	if from.Salt == nil {
		from.Salt = make([]byte, saltSize)
		_, _ = rand.Read(from.Salt) // it never fails
	} else if !s.pins.holds(moment{At: from.Moment, Salt: from.Salt}, s.now()) {
		return from, ErrMoment
	}
	s.life.RLock() // nothing is let go meanwhile
	if from.Moment == 0 {
		from.Moment = s.durable.Load()
	}
	m := moment{At: from.Moment, Salt: from.Salt, Until: s.now().Add(MomentKept)}
	s.pins.hold(m)
	s.life.RUnlock()
	value, err := json.Marshal(m)
	if err != nil {
		return from, err
	}
	_ = s.keepMoment(ctx, value) // a store that cannot be written keeps it until the next start, and can be saved
	return from, nil
}

func (s *Store) keepMoment(ctx context.Context, value []byte) error {
	return s.submit(ctx, &request{relief: true, rows: []row{{[]byte(momentKey), value}}})
}

// momentKey is under which a backup's moment is kept.
const momentKey = string(valueKey) + "backup"

// loadMoment is for the first start of the engine, before it lets anything go.
func (s *Store) loadMoment() error {
	var value []byte
	err := s.unhurt(func() (err error) {
		txn := s.db.NewTransactionAt(s.db.MaxVersion(), false)
		defer txn.Discard()
		value, err = get(txn, []byte(momentKey))
		return err
	})
	if isMissing(err) || err == nil && len(value) == 0 {
		return nil
	}
	var m moment
	if err == nil {
		err = json.Unmarshal(value, &m)
	}
	if err != nil {
		return fmt.Errorf("read the moment of a backup: %w", err)
	}
	s.pins.hold(m)
	return nil
}
