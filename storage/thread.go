package storage

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/relay/outbox"
)

// maxLine bounds an activity's id in a conversation; a longer one is left out.
const maxLine = 2048

// ThreadID implements outbox.Store.
func (s *Store) ThreadID(group []byte) string {
	id := s.keys.hash(threadKey, string(group))
	return hex.EncodeToString(id[:])
}

func (k keyring) list(id, reader string) hashed { return k.hash(threadKey, id, reader) }

// enlist adds a line to a conversation as one reader sees it.
func (p *post) enlist(id, reader, activity string) error {
	if id == "" || len(activity) > maxLine {
		return nil
	}
	seq := (p.s.durable.Load()+1)*perTransaction + p.listed
	p.listed++
	key := binary.BigEndian.AppendUint64(p.s.keys.list(id, reader).key(threadKey), seq)
	return p.set(key, []byte(activity), p.s.remembered())
}

// weighThread is what speak writes, at most.
func weighThread(sub outbox.Submission) int64 {
	return int64(len(sub.Thread.Readers)+2) * int64(len(sub.Activity)+letterOverhead)
}

// Thread implements outbox.Store.
func (s *Store) Thread(ctx context.Context, id, reader string, behind uint64, limit int) ([]inbox.Line, error) {
	var lines []inbox.Line
	err := s.eachLine(ctx, id, reader, behind, func(item *badger.Item) (bool, error) {
		activity, err := item.ValueCopy(nil)
		lines = append(lines, inbox.Line{Seq: binary.BigEndian.Uint64(item.Key()[len(item.Key())-8:]), ActivityID: string(activity)})
		return len(lines) < limit, err
	})
	return lines, err
}

// ThreadSize implements outbox.Store.
func (s *Store) ThreadSize(ctx context.Context, id, reader string) (n int, err error) {
	err = s.eachLine(ctx, id, reader, 0, func(*badger.Item) (bool, error) { n++; return true, nil })
	return n, err
}

// eachLine gives the lines behind one until f has had enough.
func (s *Store) eachLine(ctx context.Context, id, reader string, behind uint64, f func(*badger.Item) (more bool, err error)) error {
	prefix := s.keys.list(id, reader).key(threadKey)
	err := s.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
		defer it.Close()
		for it.Seek(append(binary.BigEndian.AppendUint64(slices.Clip(prefix), behind), 0)); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if more, err := f(it.Item()); err != nil || !more {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read a conversation: %w", err)
	}
	return nil
}
