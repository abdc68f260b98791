package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/policy/mastodon"
)

var _ mastodon.Register = (*Store)(nil)

// Remember implements mastodon.Register: p is found again by each of p.Keys.
func (s *Store) Remember(ctx context.Context, p mastodon.Person) error {
	value, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("remember a local person: %w", err)
	}
	home := accountKey(p.Account)
	rows := []row{{s.keys.person(home).key(personKey), value}}
	for _, id := range p.Keys() {
		if id != home {
			rows = append(rows, row{s.keys.person(id).key(personKey), []byte(home)})
		}
	}
	return s.write(ctx, rows...)
}

// Recall implements mastodon.Register. An id the person no longer has, such as a
// former name, is ErrNoPerson.
func (s *Store) Recall(ctx context.Context, id string) (mastodon.Person, error) {
	value, err := s.read(ctx, s.keys.person(id).key(personKey))
	if err == nil && len(value) > 0 && value[0] == '#' {
		value, err = s.read(ctx, s.keys.person(string(value)).key(personKey))
	}
	if isMissing(err) {
		return mastodon.Person{}, mastodon.ErrNoPerson
	}
	var p mastodon.Person
	if err == nil {
		err = json.Unmarshal(value, &p)
	}
	if err != nil {
		return mastodon.Person{}, fmt.Errorf("recall a local person: %w", err)
	}
	if !slices.Contains(p.Keys(), id) {
		return mastodon.Person{}, mastodon.ErrNoPerson
	}
	return p, nil
}

// People are all local persons that were ever remembered, in no order.
func (s *Store) People(ctx context.Context) ([]mastodon.Person, error) {
	var out []mastodon.Person
	err := s.scan(ctx, []byte{personKey}, func(row *badger.Entry) error {
		if len(row.Value) > 0 && row.Value[0] == '#' {
			return nil // another name
		}
		var p mastodon.Person
		err := json.Unmarshal(row.Value, &p)
		out = append(out, p)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the local people: %w", err)
	}
	return out, nil
}

// accountKey is the one of Person.Keys that never changes.
func accountKey(account string) string { return "#" + account }
