// Package storage keeps everything durable in one Badger store, encrypted at rest. It implements the stores that inbox, policy,
// policy/mastodon, policy/oauth and relay/outbox declare, and it alone knows Badger. It never looks into an activity.
//
//	key                                      value
//	f                                        format: version u8 | secret [32]
//	b serial[4]                              bucket: start | end | messages | bytes | dropped
//	u box[16]                                mailbox: last position | runs (serial, first, count, bytes)
//	m serial[4] box[16] position[8] part[1]  received | epoch | kind | group | actor | id | activity, cut in parts
//	o once[16]                               accepted before: position | at        (Badger TTL)
//	i find[16]                               activity id of an owner: position     (Badger TTL)
//	p person[16]                             local person: account, or all of them as JSON under the account's key
//	k name                                   kept value, by name
//	a n hash[32]                             code, token or finished sign-in, as JSON (Badger TTL)
//	a d account[16] device[16]               signed-in device, as JSON (Badger TTL)
//	q lane[16] seq[8]                        delivery to be made, as JSON
//	s sent[16] part[1]                       sent activity: head as JSON | body, cut in parts (Badger TTL)
//	w name[16]                               another name of a sent activity: sent  (Badger TTL)
//	j v knock[16]                            verdict about a knock, as JSON          (Badger TTL, 8 days)
//	j e id                                   entry of the decision log, as JSON      (Badger TTL, 7 days)
//	j k day[4]                               what hashes the ids in a day's entries  (Badger TTL, 8 days)
//	j s domain[16]                           when a domain was first seen | noted    (Badger TTL)
//	j c id                                   entry of the change log, as JSON        (Badger TTL, a year)
//	j b id                                   what was loaded with it                 (Badger TTL, a year)
//	j l id part                              it with long lists, of the newest, cut in parts (Badger TTL, a year)
//	r kind[1] box[16] row[16] n[8] part[1]   row of inbox.Ledger: groups, requests, what waits (Badger TTL)
//	h share[16]                              what one sender has in a mailbox and waiting: runs (serial or when it ends, bytes) (Badger TTL)
//	c list[16] seq[8]                        conversation as one reader sees it: an activity id   (Badger TTL)
//	e claim[16]                              a sender's commit for a group's epoch: device | sent | at (Badger TTL)
//	g member[16]                             a person has sent in a group: epoch | at   (Badger TTL)
//	y person[16] answer[16]                  what the instance said of a person and another, as JSON (Badger TTL)
//	D pool[16]                               key directory of a person: version | log head | devices | notices
//	D pool[16] id                            a key package: number, suite, times, state, names, reservation (Badger TTL)
//	C pool[16] id                            its content, as published                                      (Badger TTL)
//	L pool[16] number[8]                     an entry of the key log
//	T trace[16]                              a ref or init key was published: owner | device | until        (Badger TTL)
//
// box, once, find, person, pool, trace, account, device, sent, name, knock, domain, row, share, list, claim, member and answer are
// HMAC-SHA-256 under the secret,
// cut to 16 bytes; integers in keys are big-endian. Buckets are spans of a thirtieth of the retention; a span expires, and is dropped, whole.
package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/inbox"
)

// What Open can refuse. Each is wrapped with the path and the configuration key
// that cures it.
var (
	ErrLocked     = errors.New("storage: another process has the store open")
	ErrKey        = errors.New("storage: wrong encryption key")
	ErrKeyMissing = errors.New("storage: the store exists and its encryption key does not")
	ErrFormat     = errors.New("storage: unknown store format")
)

// Options of a Store. Path, Key, Retention and Quota are required.
type Options struct {
	Path      string        // `storage.path`; made with mode 0700
	Key       []byte        // `storage.encryption_key`, 32 bytes
	Retention time.Duration // `mailbox.retention`
	Quota     int64         // `mailbox.quota`, bytes of activities per owner
	Share     int64         // of them, what messages with a Fate may fill from one sender, with what waits; 0: all
	Door      inbox.Door    // bounds of what strangers can bring

	MaxMessage int64 // `mailbox.max_activity`, the largest activity in bytes; 0 is 1 MiB
	Reserve    int64 // bytes of disk left free, or writes are refused; 0 is 384 MiB, or the base level and 8 tables if those are more

	Clock   func() time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Store is all that is kept. It is safe for concurrent use.
//
// Reads see the snapshot of the last synced transaction: they never wait for a
// write and never show what a crash could take back.
type Store struct {
	opt     Options
	db      *badger.DB
	disk    *disk
	keys    keyring
	buckets *buckets
	metrics *metrics

	life    sync.RWMutex  // held shared by reads; exclusively to close, to open the engine anew or to let old versions go
	taking  sync.RWMutex  // held shared while a request is handed to the committer
	closed  bool          // written under both, read under either
	durable atomic.Uint64 // timestamp of the last synced transaction
	broken  atomic.Pointer[error]
	harm    atomic.Pointer[error] // ErrDamaged, once a table was found so
	doubt   chan struct{}         // a read missed what must be there
	looked  chan struct{}         // closed when all tables were read once
	watch   sync.WaitGroup        // of watchTables

	pins       pins
	groupBytes int64 // what one transaction may carry

	over map[uint32]time.Time // expired buckets, and since when; the committer's
	calm bool                 // see calm.go; the committer's
	left int64                // bytes that may still be written while calm

	days     dayKeys
	newcomer ration // of domains first seen

	rotating sync.Mutex // held while the key file is changed

	line sync.RWMutex // held exclusively while one submission's many requests enter
	work chan *request
	stop chan struct{}
	done chan struct{}
	sync func() error // db.Sync, but for tests
}

var _ inbox.Store = (*Store)(nil)

// Open opens the store at o.Path, or makes it, and starts its committer. The
// errors a caller can act on wrap ErrLocked, ErrKey or ErrFormat.
func Open(o Options) (*Store, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	s := &Store{
		opt:     o,
		disk:    newDisk(o),
		buckets: newBuckets(o.Retention),
		work:    make(chan *request, 4*maxGroup),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
		doubt:   make(chan struct{}, 1),
		looked:  make(chan struct{}),
	}
	s.sync = func() error { return s.db.Sync() }
	if err := prepareDir(o, s.disk); err != nil {
		return nil, err
	}
	s.calm = s.disk.room() != nil
	if err := s.start(); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, s.shut())
	}
	go s.commitLoop()
	engine := badgerOptions(s.opt)
	s.watch.Go(func() { s.watchTables(engine) })
	return s, nil
}

// start opens the engine.
func (s *Store) start() (err error) {
	b := badgerOptions(s.opt)
	if s.calm {
		b = calmed(b)
	}
	if s.db, err = openBadger(s.opt, b); err != nil {
		return err
	}
	// Badger refuses a transaction at MaxBatchSize, counting its own overhead too.
	s.groupBytes = s.db.MaxBatchSize() * 9 / 10
	if s.durable.Load() == 0 {
		if err := s.loadMoment(); err != nil {
			return errors.Join(err, s.db.Close())
		}
	}
	s.durable.Store(s.db.MaxVersion())
	s.db.SetDiscardTs(s.pins.oldest(s.db.MaxVersion(), s.now()))
	s.left = memTable(s.opt) / 2
	return s.disk.begin(s.db)
}

// load reads what is kept in memory.
func (s *Store) load() (err error) {
	if err := s.loadFormat(); err != nil {
		return err
	}
	if err := s.view(s.buckets.load); err != nil {
		return fmt.Errorf("read the buckets of %s: %w", s.opt.Path, err)
	}
	s.metrics, err = newMetrics(s.opt.Metrics, s)
	return err
}

// Close refuses new work, finishes what was taken, and closes the files. Reads
// under way finish first. On a full disk it answers ErrUnavailable and leaves the
// files as a kill would: nothing acknowledged is lost, the next Open replays it.
func (s *Store) Close() error {
	if !s.takeNoMore() {
		return nil
	}
	close(s.stop)
	<-s.done
	s.watch.Wait()
	s.metrics.unregister(s.opt.Metrics)
	if s.db == nil {
		return nil // it was closed and could not be opened again: broken says why
	}
	room := s.disk.spare
	if s.calm {
		room = s.disk.forOne // nobody else writes
	}
	if err := room(); err != nil {
		return fmt.Errorf("close the store %s: %w", s.opt.Path, err) // Badger would write a table
	}
	if err := s.shut(); err != nil {
		return fmt.Errorf("close the store %s: %w", s.opt.Path, err)
	}
	return nil
}

// shut closes the engine in order.
func (s *Store) shut() error {
	err := s.db.Close()
	if err == nil && s.broken.Load() == nil {
		_ = markClosed(s.opt.Path) // without it less damage is noticed
	}
	return err
}

func (s *Store) takeNoMore() (first bool) {
	s.taking.Lock() // first: the committer never waits for it
	defer s.taking.Unlock()
	s.life.Lock()
	defer s.life.Unlock()
	first = !s.closed
	s.closed = true
	return first
}

// Writable says why appends would be refused now, or nil.
func (s *Store) Writable() error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return errClosed
	}
	if err := s.broken.Load(); err != nil {
		return *err
	}
	return s.disk.room()
}

var errClosed = fmt.Errorf("%w: the store is closed", inbox.ErrUnavailable)

// view runs f over one snapshot: what was durable when it began.
func (s *Store) view(f func(*badger.Txn) error) error { return s.viewAt(0, f) }

// viewAt is view as of a pinned timestamp; 0 is now.
func (s *Store) viewAt(at uint64, f func(*badger.Txn) error) error {
	return s.unhurt(func() error { return s.snapshot(at, f) })
}

func (s *Store) snapshot(at uint64, f func(*badger.Txn) error) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return errClosed
	}
	if s.db == nil {
		return *s.broken.Load()
	}
	if at == 0 {
		at = s.durable.Load()
	}
	txn := s.db.NewTransactionAt(at, false)
	defer txn.Discard()
	return f(txn)
}

func (o Options) complete() (Options, error) {
	if len(o.Key) != KeySize {
		return o, fmt.Errorf("storage: storage.encryption_key has %d bytes, not %d", len(o.Key), KeySize)
	}
	if o.Retention < time.Second {
		return o, fmt.Errorf("storage: mailbox.retention %s is under a second", o.Retention)
	}
	if o.Quota <= 0 {
		return o, fmt.Errorf("storage: mailbox.quota %d is not positive", o.Quota)
	}
	o.MaxMessage = cmp.Or(o.MaxMessage, 1<<20)
	if o.MaxMessage > maxMaxMessage {
		return o, fmt.Errorf("storage: mailbox.max_activity %d is over %d bytes", o.MaxMessage, maxMaxMessage)
	}
	o.Door = o.Door.Complete(o.MaxMessage)
	o.Reserve = cmp.Or(o.Reserve, baseLevel+max(256<<20, 8*memTable(o)))
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

func prepareDir(o Options, d *disk) error {
	if err := os.MkdirAll(o.Path, 0o700); err != nil {
		return fmt.Errorf("make the store's directory (storage.path): %w", err)
	}
	if err := probeLock(o.Path); err != nil {
		return err
	}
	if err := d.forOne(); err != nil {
		return err
	}
	return syncLogs(o.Path)
}

// Sweep drops what has expired and gives its disk space back. The committer does it
// by itself, an hour later; Sweep is for those who cannot wait.
func (s *Store) Sweep(ctx context.Context) error {
	return s.submit(ctx, &request{sweep: true})
}
