package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
)

// After implements inbox.Store.
func (s *Store) After(ctx context.Context, o inbox.Owner, p inbox.Position, limit int) ([]inbox.Entry, error) {
	var out []inbox.Entry
	err := s.shelf(ctx, o, func(sh *shelf) (err error) {
		out, err = sh.up(p, limit)
		return err
	})
	return out, err
}

// Find implements inbox.Store.
func (s *Store) Find(ctx context.Context, o inbox.Owner, activityID string) (inbox.Position, error) {
	var found inbox.Position
	err := s.shelf(ctx, o, func(sh *shelf) error {
		p, err := readPosition(sh.txn, s.keys.find(o, activityID).key(findKey))
		if isMissing(err) {
			return cmp.Or(s.absent(ctx), inbox.ErrNotFound)
		}
		if r, ok := sh.mailbox.at(p); err == nil && (!ok || !sh.alive(r.serial)) {
			return inbox.ErrNotFound
		}
		found = p
		return err
	})
	return found, err
}

// Usage implements inbox.Store.
func (s *Store) Usage(ctx context.Context, o inbox.Owner) (inbox.Usage, error) {
	var u inbox.Usage
	err := s.shelf(ctx, o, func(sh *shelf) error {
		u = sh.mailbox.usage(sh.alive)
		return nil
	})
	return u, err
}

// shelf is one owner's messages in one snapshot, at one moment of the clock.
// Positions have no holes within a run, so every key to read is known and an
// absent one is noticed.
type shelf struct {
	ctx     context.Context //nolint:containedctx // lives within one call of Store.shelf
	owner   inbox.Owner
	box     hashed
	txn     *badger.Txn
	mailbox *mailbox
	alive   func(uint32) bool
	expired func(uint32) bool // asks the clock anew
}

func (s *Store) shelf(ctx context.Context, o inbox.Owner, f func(*shelf) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.view(func(txn *badger.Txn) error {
		sh := &shelf{ctx: ctx, owner: o, box: s.keys.box(o), txn: txn, alive: s.buckets.alive(s.now())}
		sh.expired = func(serial uint32) bool { return !s.buckets.alive(s.now())(serial) }
		var err error
		if sh.mailbox, err = readMailbox(txn, sh.box); err != nil {
			return err
		}
		if sh.mailbox.last == 0 {
			if err := s.absent(ctx); err != nil {
				return err
			}
		}
		return f(sh)
	})
	if errors.Is(err, ErrDamaged) {
		select {
		case s.doubt <- struct{}{}:
		default:
		}
	}
	if err != nil && !errors.Is(err, inbox.ErrNotFound) {
		return fmt.Errorf("read a mailbox: %w", err)
	}
	return err
}

func (sh *shelf) up(p inbox.Position, limit int) ([]inbox.Entry, error) {
	var out []inbox.Entry
	for _, r := range sh.mailbox.runs {
		if r.last() <= uint64(p) || !sh.alive(r.serial) {
			continue
		}
		for at := max(r.first, uint64(p)+1); at <= r.last() && len(out) < limit; at++ {
			var err error
			if out, err = sh.take(out, r, inbox.Position(at)); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// take appends the message at p. A message whose bucket was dropped since the
// read began has expired; any other that is absent means a damaged store.
func (sh *shelf) take(out []inbox.Entry, r run, p inbox.Position) ([]inbox.Entry, error) {
	if err := sh.ctx.Err(); err != nil {
		return nil, err
	}
	value, err := sh.value(r.serial, p)
	if isMissing(err) && sh.expired(r.serial) {
		return out, nil
	}
	var m inbox.Message
	if err == nil {
		m, err = decodeMessage(sh.owner, value)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: message %d: %w", ErrDamaged, p, err)
	}
	return append(out, inbox.Entry{Position: p, Message: m}), nil
}

// value joins the parts of a record.
func (sh *shelf) value(serial uint32, p inbox.Position) ([]byte, error) {
	value, err := get(sh.txn, messageKeyOf(serial, sh.box, p, 0))
	if err != nil {
		return nil, err
	}
	size, err := messageSize(value)
	for part := uint8(1); err == nil && len(value) < size; part++ {
		var more []byte
		more, err = get(sh.txn, messageKeyOf(serial, sh.box, p, part))
		value = append(value, more...)
	}
	if err == nil && len(value) != size {
		err = errRecord
	}
	return value, err
}
