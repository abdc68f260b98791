package storage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy/mastodon"
)

const (
	eraseTogether = 512
	eraseRounds   = 5
)

// ErrStillThere is a person whose data come back while they are erased.
var ErrStillThere = errors.New("storage: some data came back while they were erased")

// Whom finds a local person by name, actor URL or account id, or answers mastodon.ErrNoPerson. The
// instance is not asked: the account may be gone there.
func (s *Store) Whom(ctx context.Context, id string) (mastodon.Person, error) {
	for _, one := range []string{id, "@" + strings.ToLower(strings.TrimPrefix(id, "@")), accountKey(id)} {
		p, err := s.Recall(ctx, one)
		if !errors.Is(err, mastodon.ErrNoPerson) {
			return p, err
		}
	}
	if u, err := s.Usage(ctx, inbox.Owner(id)); err != nil || u.Last > 0 {
		return mastodon.Person{Account: id}, err // a mailbox whose person nobody knows by name any more
	}
	return mastodon.Person{}, mastodon.ErrNoPerson
}

// exported is one line of an export: a row, and what it says if that can be shown.
type exported struct {
	Table string `json:"table"`
	Data  any    `json:"data,omitempty"`
	Key   []byte `json:"key"`
	Value []byte `json:"value,omitempty"` // without Data
}

// Export writes all rows of one person to w, a JSON object a line, as of one moment.
func (s *Store) Export(ctx context.Context, p mastodon.Person, w io.Writer) (n int, err error) {
	who, out := s.whose(p), json.NewEncoder(w)
	if err := s.readTables(ctx); err != nil {
		return 0, err // or what is in a damaged block would be left out
	}
	err = s.scan(ctx, []byte{}, func(row *badger.Entry) error {
		if !who.has(row) {
			return nil
		}
		n++
		line := exported{Table: kinds[row.Key[0]].what, Key: row.Key, Value: row.Value}
		if show := kinds[row.Key[0]].show; show != nil {
			data, err := show(row)
			if err != nil {
				return err
			}
			if data != nil {
				line.Data, line.Value = data, nil
			}
		}
		return out.Encode(line)
	})
	if err != nil {
		return n, fmt.Errorf("export a person: %w", err)
	}
	return n, nil
}

// Erase removes all rows of one person, and says how many there were. Then it reads the whole store again for
// rows of theirs and for every hash that stands for them; what is found is erased too, and ErrStillThere
// after some rounds. Rows that fade (see kind) go with the message they lie beside.
func (s *Store) Erase(ctx context.Context, p mastodon.Person) (n int, err error) {
	if err := s.readTables(ctx); err != nil {
		return 0, err // as in Export
	}
	for range eraseRounds {
		left, err := s.eraseOnce(ctx, p)
		if err != nil {
			return n, fmt.Errorf("erase a person: %w", err)
		}
		if left == 0 {
			return n, nil
		}
		n += left
	}
	return n, fmt.Errorf("erase a person: %w: end the account at the instance first", ErrStillThere)
}

func (s *Store) eraseOnce(ctx context.Context, p mastodon.Person) (found int, err error) {
	who := s.whose(p)
	var keys, names [][]byte
	err = s.scan(ctx, []byte{}, func(row *badger.Entry) error {
		if !who.has(row) {
			return who.unmentioned(row)
		}
		switch row.Key[0] {
		case personKey:
			names = append(names, row.Key)
			return nil
		case messageKey, mailboxKey: // they go together, below
		default:
			keys = append(keys, row.Key)
		}
		found++
		return nil
	})
	if err != nil {
		return found, err
	}
	if found == 0 { // only now: by the names whoever was interrupted finds the rest
		return len(names), s.erase(ctx, names)
	}
	for key := range who.before {
		keys = append(keys, []byte(key))
	}
	box := s.keys.box(inbox.Owner(p.Account))
	if err := s.removeMessages(ctx, func(p *post) (left bool, err error) { return p.close(box) }); err != nil { // which keeps the sums right
		return found, err
	}
	return found, s.erase(ctx, keys)
}

// unmentioned makes sure that a row of somebody else has none of the person's hashes.
func (w *whose) unmentioned(row *badger.Entry) error {
	for _, h := range w.hashes {
		if contains(row, h[:]) {
			return fmt.Errorf("bug: a %s has the hash of a person it does not belong to", kinds[row.Key[0]].what)
		}
	}
	return nil
}

func (s *Store) erase(ctx context.Context, keys [][]byte) error {
	for len(keys) > 0 {
		some := keys[:min(len(keys), eraseTogether)]
		keys = keys[len(some):]
		rows := make([]lasting, 0, len(some))
		for _, key := range some {
			rows = append(rows, lasting{row: row{key: key}})
		}
		r := &request{relief: true, weight: int64(len(some)) * letterOverhead, change: func(p *post) error { return p.last(rows) }}
		if err := s.submit(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

func showMessage(row *badger.Entry) (any, error) {
	if size, err := messageSize(row.Value); row.Key[len(row.Key)-1] > 0 || err != nil || size > len(row.Value) {
		return nil, nil //nolint:nilnil,nilerr // it lies in parts: the bytes
	}
	m, err := decodeMessage("", row.Value)
	return struct {
		Received       any
		From, ID, Kind string
		Group          []byte `json:",omitempty"`
		Activity       json.RawMessage
	}{m.Received, m.Actor, m.ActivityID, m.Kind, m.Group, raw(m.Activity)}, err
}

// raw is JSON as it is, or as a string when it is none.
func raw(b []byte) json.RawMessage {
	if json.Valid(b) {
		return b
	}
	text, _ := json.Marshal(b) // bytes always become text
	return text
}

func showText(row *badger.Entry) (any, error) {
	if json.Valid(row.Value) {
		return json.RawMessage(row.Value), nil
	}
	return string(bytes.ToValidUTF8(row.Value, []byte("?"))), nil
}

func showJSON[T any](row *badger.Entry) (any, error) {
	var v T
	err := json.Unmarshal(row.Value, &v)
	return v, err
}

// showSignIn leaves out what would let the reader act as the person.
func showSignIn(row *badger.Entry) (any, error) {
	var v map[string]any
	err := json.Unmarshal(row.Value, &v)
	for _, secret := range []string{"Login", "Access", "Former", "Refresh", "Hash", "Grant"} {
		delete(v, secret)
	}
	return v, err
}

// showLedger shows rows that are JSON; what waits in a request is shown as its bytes.
func showLedger(row *badger.Entry) (any, error) {
	if inbox.RowKind(row.Key[1]) == inbox.WaitingRow {
		return nil, nil //nolint:nilnil // the bytes
	}
	return raw(row.Value), nil
}

func showSent(row *badger.Entry) (any, error) {
	if row.Key[len(row.Key)-1] > 0 {
		return nil, nil //nolint:nilnil // a later part: the bytes
	}
	one, err := decodeSent(row.Value)
	if err != nil || !json.Valid(one.Body) {
		return nil, nil //nolint:nilnil,nilerr // the first part of several
	}
	return struct {
		To       []string
		Activity json.RawMessage
	}{one.Actors, one.Body}, nil
}

func showPackage(row *badger.Entry) (any, error) {
	id := string(row.Key[1+len(hashed{}):])
	if id != "" {
		return decodePackage(id, row.Value)
	}
	var p inbox.Pool
	_, err := decodeHead(row.Value, &p)
	return p, err
}

func showEntry(row *badger.Entry) (any, error) { return decodeEntry(row.Value) }
