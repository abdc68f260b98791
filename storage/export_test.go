package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/table"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy/mastodon"
)

// SetSync puts f in the place of Badger's sync, before anything is written.
func (s *Store) SetSync(f func(sync func() error) error) {
	s.sync = func() error { return f(func() error { return s.db.Sync() }) }
}

// SetFree lets a test say how much of the disk is free.
func (s *Store) SetFree(f func() int64) {
	free := func(string) (int64, error) { return f(), nil }
	s.disk.free.Store(&free)
}

// UntilFull is when the disk is looked at again, with so many bytes free above the reserve.
func UntilFull(bytes int64) time.Duration { return untilFull(bytes) }

// Transactions counts the synced transactions this store ever made.
func (s *Store) Transactions() uint64 { return s.durable.Load() }

// SetFormat overwrites the format record's version.
func (s *Store) SetFormat(version byte) error {
	txn := s.db.NewTransactionAt(s.durable.Load(), true)
	defer txn.Discard()
	if err := txn.Set([]byte{formatKey}, append([]byte{version}, s.keys.secret...)); err != nil {
		return err
	}
	return s.persist(txn)
}

// Reformat overwrites the version in the format record of a store that no program may open, and gives the one before.
func Reformat(o Options, version byte) (before byte, err error) {
	if err := unmark(o.Path); err != nil {
		return 0, err
	}
	db, err := badger.OpenManaged(BadgerOptions(o))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	txn := db.NewTransactionAt(db.MaxVersion(), true)
	defer txn.Discard()
	value, err := get(txn, []byte{formatKey})
	if err != nil {
		return 0, err
	}
	before, value[0] = value[0], version
	if err := txn.Set([]byte{formatKey}, value); err != nil {
		return 0, err
	}
	return before, txn.CommitAt(db.MaxVersion()+1, nil)
}

// MessageRows counts the message rows that a scan still finds, expired or not.
func (s *Store) MessageRows() (n int, err error) {
	err = s.view(func(txn *badger.Txn) error {
		opt := badger.DefaultIteratorOptions
		opt.Prefix = []byte{messageKey}
		it := txn.NewIterator(opt)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			n++
		}
		return nil
	})
	return n, err
}

// BadgerOptions are the engine's, for the benchmark's plain store.
func BadgerOptions(o Options) badger.Options {
	complete, err := o.complete()
	if err != nil {
		panic(err)
	}
	return badgerOptions(complete)
}

// WaitQueued returns once n requests wait for the committer.
func (s *Store) WaitQueued(n int) {
	for len(s.work) < n {
		runtime.Gosched()
	}
}

// QueueSize is how many requests can wait for the committer.
func (s *Store) QueueSize() int { return cap(s.work) }

// WaitIdle returns once the engine has written all its tables: one log is left, no
// level asks for compaction, and no file came or went for a second.
func (s *Store) WaitIdle() {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for calm := 0; calm < 50; <-tick.C {
		files, _ := filepath.Glob(filepath.Join(s.opt.Path, "*"))
		now := strings.Join(files, " ")
		busy := now != last || strings.Count(now, logSuffix) > 1
		for _, l := range s.db.Levels() {
			busy = busy || l.Adjusted >= 1
		}
		if calm++; busy {
			last, calm = now, 0
		}
	}
}

// Compact lets go of what may be let go, and has the engine write everything anew.
func (s *Store) Compact() error {
	return s.submit(context.Background(), &request{engine: func() error {
		s.letGo(s.durable.Load())
		if err := s.reopen(func() error { return nil }); err != nil { // which writes the memtable out
			return err
		}
		return s.db.Flatten(1)
	}})
}

// Kinds gives the first byte of every kind of row and its name.
func Kinds() map[byte]string {
	out := map[byte]string{}
	for first, k := range kinds {
		out[first] = k.what
		if n := btoi(k.owned != nil) + btoi(k.fades) + btoi(k.ours); n != 1 || k.what == "" {
			panic(fmt.Sprintf("kind %q says %d times whose it is", first, n))
		}
	}
	return out
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Mentions counts the rows of each kind that have text, or a hash that stands for p alone, in key or value.
func (s *Store) Mentions(p mastodon.Person, text string) (map[string]int, error) {
	out := map[string]int{}
	hashes := s.whose(p).hashes
	err := s.scan(context.Background(), []byte{}, func(row *badger.Entry) error {
		found := contains(row, []byte(text))
		for _, h := range hashes {
			found = found || contains(row, h[:])
		}
		if found {
			out[kinds[row.Key[0]].what]++
		}
		return nil
	})
	return out, err
}

// KindsThere counts the rows of every kind.
func (s *Store) KindsThere() (map[byte]int, error) {
	out := map[byte]int{}
	err := s.scan(context.Background(), []byte{}, func(row *badger.Entry) error { out[row.Key[0]]++; return nil })
	return out, err
}

// Personal says whether rows of that kind can be somebody's.
func Personal(first byte) bool { return kinds[first].owned != nil }

// RowsWith counts the rows whose key or value has text.
func (s *Store) RowsWith(text string) (n int, err error) {
	err = s.scan(context.Background(), []byte{}, func(row *badger.Entry) error {
		if contains(row, []byte(text)) {
			n++
		}
		return nil
	})
	return n, err
}

// Tick is what the committer does every minute, after so much time that no clock can jump.
func (s *Store) Tick(ctx context.Context, later time.Duration) error {
	return s.submit(ctx, &request{engine: func() error {
		return s.dropExpired(s.longOver(s.buckets.expired(s.now()), time.Now().Add(later)))
	}})
}

// ShareRuns is in how many buckets an actor's share of a mailbox is counted.
func (s *Store) ShareRuns(o inbox.Owner, actor string) (n int, err error) {
	err = s.view(func(txn *badger.Txn) error {
		one, err := s.newPost(txn).share(s.keys.share(s.keys.box(o), actor))
		if err == nil {
			n = len(one.runs)
		}
		return err
	})
	return n, err
}

// Tamper puts in the place of a row of a kind what f makes of it; nil removes it. It takes the first row that f does not
// give back as it is.
func (s *Store) Tamper(kind byte, f func(key, value []byte) (k, v []byte)) (undo func() error, err error) {
	var old, next row
	err = s.scan(context.Background(), []byte{kind}, func(r *badger.Entry) error {
		if k, v := f(r.Key, r.Value); old.key == nil && (!bytes.Equal(k, r.Key) || !bytes.Equal(v, r.Value)) {
			old, next = row{r.Key, r.Value}, row{k, v}
		}
		return nil
	})
	if err == nil && old.key == nil {
		err = fmt.Errorf("there is no such row of kind %q", kind)
	}
	if err != nil {
		return nil, err
	}
	return func() error { return s.exchange(next, old) }, s.exchange(old, next)
}

func (s *Store) exchange(gone, come row) error {
	return s.submit(context.Background(), &request{change: func(p *post) (err error) {
		p.writes++
		if gone.key != nil {
			err = p.txn.Delete(gone.key)
		}
		if come.key != nil {
			err = errors.Join(err, p.txn.Set(come.key, come.value))
		}
		return err
	}})
}

// Burst gives the committer n requests at once, each of which keeps a value of so many bytes and foresees none of them.
func (s *Store) Burst(ctx context.Context, n, size int) error {
	rs := make([]*request, n)
	for i := range rs {
		key := append([]byte{valueKey}, fmt.Sprint("burst ", i)...)
		rs[i] = &request{change: func(p *post) error { return p.set(key, make([]byte, size), 0) }}
	}
	return s.submit(ctx, rs...)
}

// SpendNewcomers is as if so many domains had been seen first in the hour of now.
func (s *Store) SpendNewcomers(now time.Time, n int) {
	for range n {
		s.newcomer.take(now, n)
	}
}

// SentHead is how many bytes the head of a sent activity takes.
func (s *Store) SentHead(name string) int {
	sent, _ := s.Sent(context.Background(), name)
	value, _ := s.read(context.Background(), append(s.keys.hash(sentKey, name).key(sentKey), 0))
	return len(value) - len(sent.Body)
}

// Pinned is how many moments are held.
func (s *Store) Pinned() int {
	s.pins.mu.Lock()
	defer s.pins.mu.Unlock()
	return len(s.pins.at)
}

// Lifetimes gives when the rows go by themselves, by what they are; the zero time: never.
func (s *Store) Lifetimes() map[string][]time.Time {
	txn := s.db.NewTransactionAt(s.durable.Load(), false)
	defer txn.Discard()
	it := txn.NewIterator(badger.DefaultIteratorOptions)
	defer it.Close()
	all := map[string][]time.Time{}
	for it.Rewind(); it.Valid(); it.Next() {
		what, at := kinds[it.Item().Key()[0]].what, time.Time{}
		if ends := it.Item().ExpiresAt(); ends > 0 {
			at = time.Unix(int64(ends), 0)
		}
		all[what] = append(all[what], at)
	}
	return all
}

// BlockEnds says where the blocks of the only table of a store end.
func BlockEnds(o Options) (ends []int, err error) {
	b := BadgerOptions(o)
	listed, err := listedTables(b)
	if err != nil || len(listed) != 1 {
		return nil, errors.Join(err, errRecord)
	}
	r, err := newTableReader(b)
	if err != nil {
		return nil, err
	}
	defer r.close()
	for id, one := range listed {
		index, err := readIndex(table.NewFilename(id, b.Dir))
		if err != nil {
			return nil, err
		}
		key, err := r.keys.DataKey(one.KeyID)
		if err != nil {
			return nil, err
		}
		all, err := index.decrypt(key)
		if err != nil {
			return nil, err
		}
		block := new(fb.BlockOffset)
		for i := range all.OffsetsLength() {
			all.Offsets(block, i)
			ends = append(ends, int(block.Offset()+block.Len()))
		}
	}
	return ends, nil
}

// Forget has a store be as it was before its tables were read once; look reads them.
func (s *Store) Forget() (look func()) {
	<-s.looked
	s.looked = make(chan struct{})
	s.harm.Store(nil)
	s.broken.Store(nil)
	return func() {
		_ = s.readTables(context.Background())
		close(s.looked)
	}
}
