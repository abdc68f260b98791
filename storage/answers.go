package storage

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/sealgate/sealgate/policy/mastodon"
)

var _ mastodon.Shelf = (*Store)(nil)

// answerLife is how long an answer of the instance lasts that is not given anew.
const answerLife = 90 * 24 * time.Hour

// KeepAnswer implements mastodon.Shelf.
func (s *Store) KeepAnswer(ctx context.Context, account, about string, value []byte) error {
	if len(value) > partSize {
		return fmt.Errorf("storage: an answer of %d bytes is too large to keep", len(value))
	}
	one := lasting{row: row{key: s.answerKeyOf(account, about), value: bytes.Clone(value)}}
	if len(value) > 0 {
		one.lifetime = answerLife
	}
	return s.writeLasting(ctx, []lasting{one})
}

// KeptAnswer implements mastodon.Shelf.
func (s *Store) KeptAnswer(ctx context.Context, account, about string) ([]byte, error) {
	value, err := s.read(ctx, s.answerKeyOf(account, about))
	if isMissing(err) {
		return nil, mastodon.ErrNotKept
	}
	return value, err
}

// answerKeyOf begins with what stands for the account alone, so that its rows can be found.
func (s *Store) answerKeyOf(account, about string) []byte {
	h := s.keys.hash(answerKey, account, about)
	return append(s.keys.hash(answerKey, account).key(answerKey), h[:]...)
}
