package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/policy"
)

// The bounds of the change log beside its time: the oldest go first.
const (
	maxChanges = 1000
	maxBundles = 50
	maxLong    = 32 << 20 // of a long bundle
)

func changeKeyOf(kind byte, id string) []byte { return append([]byte{journalKey, kind}, id...) }

// AddChange implements policy.Journal. The parts of a long bundle are written first, in transactions of their own:
// they count when the change is there, and those of others go with the same commit.
func (s *Store) AddChange(ctx context.Context, c policy.Change, bundle, long []byte) error {
	value, err := json.Marshal(c)
	if err == nil && max(len(value), len(bundle)) > partSize {
		err = fmt.Errorf("it has %d and %d bytes, %d are possible", len(value), len(bundle), partSize)
	}
	if err != nil {
		return fmt.Errorf("keep a change of the policy: %w", err)
	}
	kind := byte(changeKind)
	if c.Kind == policy.Severing {
		kind = severKind
	}
	rows := []lasting{{row{changeKeyOf(kind, c.ID), value}, keepChange}}
	bounds := map[byte]int{kind: maxChanges}
	if bundle != nil {
		old, err := s.keepLong(ctx, c.ID, long)
		if err != nil {
			return err
		}
		rows = append(rows, old...)
		bounds[bundleKind] = maxBundles
		rows = append(rows, lasting{row{changeKeyOf(bundleKind, c.ID), bundle}, keepChange})
	}
	for kind, most := range bounds {
		old, err := s.oldest(ctx, kind, most-1)
		if err != nil {
			return err
		}
		rows = append(rows, old...)
	}
	return s.writeLasting(ctx, rows)
}

// oldest are the rows of a kind beyond the newest ones, to be removed.
func (s *Store) oldest(ctx context.Context, kind byte, newest int) ([]lasting, error) {
	var keys []lasting
	err := s.scan(ctx, []byte{journalKey, kind}, func(r *badger.Entry) error {
		keys = append(keys, lasting{row: row{key: r.Key}})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look through the change log: %w", err)
	}
	return keys[:max(0, len(keys)-newest)], nil
}

// Changes implements policy.Journal.
func (s *Store) Changes(ctx context.Context) ([]policy.Change, error) {
	var all []policy.Change
	for _, kind := range []byte{changeKind, severKind} {
		err := s.scan(ctx, []byte{journalKey, kind}, func(r *badger.Entry) error {
			var c policy.Change
			err := json.Unmarshal(r.Value, &c)
			all = append(all, c)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b policy.Change) int { return strings.Compare(b.ID, a.ID) }) // ids sort by time
	return all, nil
}

// keepLong writes the parts of a long bundle, and gives those of other changes, to be removed.
func (s *Store) keepLong(ctx context.Context, change string, long []byte) (old []lasting, err error) {
	if len(long) > maxLong {
		return nil, fmt.Errorf("storage: a policy of %d bytes is too long to keep", len(long))
	}
	old, err = s.oldest(ctx, longKind, 0)
	for part, more := 0, len(long) > 0; more && err == nil; part++ {
		size := min(len(long), partSize)
		err = s.writeLasting(ctx, []lasting{{row{longKeyOf(change, part), long[:size:size]}, keepChange}})
		long, more = long[size:], size == partSize // the last part is shorter than the others, so that it can be told
	}
	return old, err
}

func longKeyOf(change string, part int) []byte {
	return append(changeKeyOf(longKind, change), '/', byte(part))
}

// long is a long bundle, nil when there is none, or not all of it.
func (s *Store) long(ctx context.Context, change string) ([]byte, error) {
	var long []byte
	for part := range maxLong/partSize + 1 {
		piece, err := s.read(ctx, longKeyOf(change, part))
		if isMissing(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if long = append(long, piece...); len(piece) < partSize {
			return long, nil
		}
	}
	return nil, nil
}

// Bundle implements policy.Journal.
func (s *Store) Bundle(ctx context.Context, change string) ([]byte, error) {
	if long, err := s.long(ctx, change); long != nil || err != nil {
		return long, err
	}
	value, err := s.read(ctx, changeKeyOf(bundleKind, change))
	if isMissing(err) {
		return nil, nil
	}
	return value, err
}

// The bounds of what is remembered about domains: so many new ones in an hour, and
// one that is still talked to is noted anew in time.
const (
	newDomainsHourly = 5_000
	renewDomain      = 100 * day
)

// FirstSeen implements policy.Journal. Domains beyond what an hour may bring are
// not noted: they stay new.
func (s *Store) FirstSeen(ctx context.Context, domain string, now time.Time) (time.Time, error) {
	h := s.keys.hash(journalKey, "domain", domain)
	key := append([]byte{journalKey, seenKind}, h[:]...)
	value, err := s.read(ctx, key)
	if err != nil && !isMissing(err) {
		return now, fmt.Errorf("read when a domain was first seen: %w", err)
	}
	first, noted := now, time.Time{}
	if err == nil {
		d := decoder{rest: value}
		first, noted = time.Unix(d.int(), 0), time.Unix(d.int(), 0)
	}
	if now.Sub(noted) < renewDomain || err != nil && !s.newcomer.take(now, newDomainsHourly) {
		return first, nil
	}
	value = appendUints(nil, uint64(first.Unix()), uint64(now.Unix()))
	if err := s.writeLasting(ctx, []lasting{{row{key, value}, keepDomain}}); err != nil {
		return first, fmt.Errorf("note when a domain was first seen: %w", err)
	}
	return first, nil
}

// ration counts within an hour.
type ration struct {
	mu    sync.Mutex
	hour  time.Time
	count int
}

func (r *ration) take(now time.Time, most int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if hour := now.Truncate(time.Hour); !hour.Equal(r.hour) {
		r.hour, r.count = hour, 0
	}
	r.count++
	return r.count <= most
}
