package storage

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/policy/mastodon"
)

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
