package storage

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
)

var _ inbox.Books = (*Store)(nil)

// ReadRows implements inbox.Books.
func (s *Store) ReadRows(ctx context.Context, f func(inbox.Ledger) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.view(func(txn *badger.Txn) error { return f(&ledger{post: s.newPost(txn)}) })
}

// ChangeRows implements inbox.Books. It has a transaction to itself, for nobody knows
// beforehand how much f writes, or into which mailboxes: after a start it waits until all tables were read once.
func (s *Store) ChangeRows(ctx context.Context, f func(inbox.Ledger) error) error {
	if err := s.absent(ctx); err != nil {
		return err
	}
	var ruled error // written by the committer before it answers
	r := &request{weight: s.groupBytes, change: func(p *post) error {
		before := p.writes
		ruled = f(&ledger{post: p})
		if ruled != nil && p.writes > before {
			return fmt.Errorf("change the ledger: %w", ruled)
		}
		return nil
	}}
	if err := s.submit(ctx, r); err != nil {
		return err
	}
	return ruled
}

// ledger implements inbox.Ledger on a transaction.
type ledger struct {
	*post
	entering *letter // the message at the door; nil: there is none
}

func (k keyring) row(r inbox.Row) []byte {
	key := k.rows(r.Kind, r.Owner)
	h := k.hash(ledgerKey, string(r.Kind), string(r.Owner), r.Name)
	key = append(key, h[:]...)
	return binary.BigEndian.AppendUint64(key, r.N)
}

// rows is what the keys of all rows of a kind and owner begin with.
func (k keyring) rows(kind inbox.RowKind, o inbox.Owner) []byte {
	box := k.box(o)
	return append([]byte{ledgerKey, byte(kind)}, box[:]...)
}

// Row implements inbox.Ledger.
func (l *ledger) Row(r inbox.Row) ([]byte, error) {
	value, err := getParts(l.txn, l.s.keys.row(r))
	if isMissing(err) {
		return nil, nil
	}
	return value, err
}

// SetRow implements inbox.Ledger.
func (l *ledger) SetRow(r inbox.Row, value []byte, life time.Duration) error {
	if err := l.recharge(r, value); err != nil {
		return err
	}
	key := l.s.keys.row(r)
	if value == nil {
		return l.removeRow(key)
	}
	for part := uint8(0); ; part++ {
		size := min(len(value), partSize)
		if err := l.set(append(slices.Clip(key), part), value[:size:size], life); err != nil {
			return err
		}
		if value = value[size:]; size < partSize {
			return nil
		}
	}
}

// removeRow removes the parts there are.
func (l *ledger) removeRow(key []byte) error {
	for part := uint8(0); ; part++ {
		key := append(slices.Clip(key), part)
		value, err := get(l.txn, key)
		if isMissing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		l.writes++
		if err := l.txn.Delete(key); err != nil || len(value) < partSize {
			return err
		}
	}
}

// Rows implements inbox.Ledger.
func (l *ledger) Rows(kind inbox.RowKind, o inbox.Owner, name string) ([][]byte, error) {
	prefix := l.s.keys.rows(kind, o)
	if name != "" {
		key := l.s.keys.row(inbox.Row{Kind: kind, Owner: o, Name: name})
		prefix = key[:len(key)-8]
	}
	it := l.txn.NewIterator(badger.IteratorOptions{Prefix: prefix, PrefetchValues: true, PrefetchSize: 100})
	defer it.Close()
	var out [][]byte
	for it.Rewind(); it.Valid(); it.Next() {
		value, err := it.Item().ValueCopy(nil)
		if err != nil {
			return nil, err
		}
		key := it.Item().Key()
		if part := key[len(key)-1]; part > 0 && len(out) > 0 {
			out[len(out)-1] = append(out[len(out)-1], value...)
			continue
		}
		out = append(out, value)
	}
	return out, nil
}

// Deliver implements inbox.Ledger.
func (l *ledger) Deliver(m *inbox.Message) (inbox.Result, error) {
	if l.entering != nil && m == &l.entering.m {
		return l.deposit(l.entering)
	}
	one := l.s.letter(m)
	return l.deposit(&one)
}

// Room implements inbox.Ledger.
func (l *ledger) Room(o inbox.Owner) (int64, error) {
	box, err := l.box(l.s.keys.box(o))
	if err != nil {
		return 0, err
	}
	return l.s.opt.Quota - box.usage(l.alive).Bytes, nil
}
