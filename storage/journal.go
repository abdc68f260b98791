package storage

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
)

// The second byte of a key that begins with journalKey.
const (
	verdictKind = 'v'
	entryKind   = 'e'
	dayKind     = 'k'
	seenKind    = 's'
	changeKind  = 'c'
	severKind   = 'x' // a change of who is cut off; beside changeKind, so that many of these drive out none of those
	bundleKind  = 'b'
	longKind    = 'l'
)

// For how long the journal keeps what.
const (
	keepVerdict = 8 * day
	keepEntry   = 7 * day
	keepDayKey  = 8 * day
	keepDomain  = 400 * day
	keepChange  = 365 * day
	day         = 24 * time.Hour
)

var _ policy.Journal = (*Store)(nil)

// verdict is what is kept about a knock.
type verdict struct {
	ID         string        `json:"id"`
	Action     rules.Action  `json:"action"`
	Rule       string        `json:"rule,omitempty"`
	RetryAfter time.Duration `json:"retry_after,omitempty"`
}

func (s *Store) verdictKeyOf(k policy.Knock) []byte {
	h := s.keys.hash(journalKey, "knock", k.Actor, k.Activity, k.Recipient)
	return append([]byte{journalKey, verdictKind}, h[:]...)
}

func entryKeyOf(id string) []byte { return append([]byte{journalKey, entryKind}, id...) }

// Verdict implements policy.Journal.
func (s *Store) Verdict(ctx context.Context, k policy.Knock) (policy.Decision, bool, error) {
	value, err := s.read(ctx, s.verdictKeyOf(k))
	if isMissing(err) {
		return policy.Decision{}, false, nil
	}
	var v verdict
	if err == nil {
		err = json.Unmarshal(value, &v)
	}
	if err != nil {
		return policy.Decision{}, false, fmt.Errorf("read a verdict: %w", err)
	}
	return policy.Decision{ID: v.ID, Action: v.Action, Rule: v.Rule, RetryAfter: v.RetryAfter}, true, nil
}

// recordGroup is how many entries go into one transaction.
const recordGroup = 256

// Record implements policy.Journal.
func (s *Store) Record(ctx context.Context, batch []policy.Entry) error {
	for len(batch) > 0 {
		n := min(len(batch), recordGroup)
		rows, err := s.journalRows(ctx, batch[:n])
		if err == nil {
			err = s.writeLasting(ctx, rows)
		}
		if err != nil {
			return fmt.Errorf("record decisions: %w", err)
		}
		batch = batch[n:]
	}
	return nil
}

func (s *Store) journalRows(ctx context.Context, batch []policy.Entry) ([]lasting, error) {
	var rows []lasting
	add := func(key []byte, v any, keep time.Duration) error {
		value, err := json.Marshal(v)
		rows = append(rows, lasting{row{key, value}, keep})
		return err
	}
	for i := range batch {
		e := batch[i]
		if e.Sticky {
			if err := add(s.verdictKeyOf(e.Knock), verdict{e.ID, e.Action, e.Rule, e.RetryAfter}, keepVerdict); err != nil {
				return nil, err
			}
		}
		if !e.Logged {
			continue
		}
		key, err := s.dayKey(ctx, e.Time)
		if err != nil {
			return nil, err
		}
		e.Case = veiled(key, e.Case)
		if err := add(entryKeyOf(e.ID), e, keepEntry); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// veiled is a case without anybody's id and without an exact size.
func veiled(key keyring, c rules.Case) rules.Case {
	veil := func(what, id string) string {
		if id == "" {
			return ""
		}
		h := key.hash(journalKey, what, id)
		return hex.EncodeToString(h[:8])
	}
	c.Actor.ID, c.Recipient, c.Group.ID = veil("person", c.Actor.ID), veil("person", c.Recipient), veil("group", c.Group.ID)
	if c.Msg.Bytes > 1 {
		c.Msg.Bytes = 1 << bits.Len(uint(c.Msg.Bytes-1))
	}
	return c
}

// dayKeys remembers the newest day's key.
type dayKeys struct {
	mu  sync.Mutex
	day uint32
	key keyring
}

// dayKey is what hashes the ids of a day, made with the day's first entry.
func (s *Store) dayKey(ctx context.Context, t time.Time) (keyring, error) {
	s.days.mu.Lock()
	defer s.days.mu.Unlock()
	n := uint32(t.Unix() / int64(day/time.Second))
	if s.days.day == n && s.days.key.secret != nil {
		return s.days.key, nil
	}
	name := binary.BigEndian.AppendUint32([]byte{journalKey, dayKind}, n)
	value, err := s.read(ctx, name)
	if isMissing(err) {
		value = newSecret()
		err = s.writeLasting(ctx, []lasting{{row{name, value}, keepDayKey}})
	}
	if err != nil {
		return keyring{}, fmt.Errorf("make the day's key: %w", err)
	}
	s.days.day, s.days.key = n, keyring{secret: value}
	return s.days.key, nil
}

// Entries implements policy.Journal.
func (s *Store) Entries(ctx context.Context, since time.Time, do func(policy.Entry) bool) error {
	enough := errors.New("enough")
	from := entryKeyOf(policy.FirstDecisionID(since))
	err := s.scanFrom(ctx, []byte{journalKey, entryKind}, from, func(r *badger.Entry) error {
		var e policy.Entry
		if err := json.Unmarshal(r.Value, &e); err != nil {
			return err
		}
		if !do(e) {
			return enough
		}
		return nil
	})
	if err != nil && !errors.Is(err, enough) {
		return fmt.Errorf("read the decision log: %w", err)
	}
	return nil
}
