package outbox

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/signature"
)

// keyFresh is how long a person's key is used before its source is asked again.
const keyFresh = 5 * time.Minute

// keyring remembers local people's keys under the ids that peers know.
type keyring struct {
	source Keys
	people *mastodon.Instance
	clock  func() time.Time
	known  *otter.Cache[string, heldKey]
}

type heldKey struct {
	id    string
	key   crypto.Signer
	until time.Time
}

func newKeyring(o Options) *keyring {
	return &keyring{
		source: o.Keys, people: o.People, clock: o.Clock,
		known: newCache[heldKey](10000),
	}
}

// signer is who signs for a person.
func (k *keyring) signer(ctx context.Context, s Sender) (signature.Signer, error) {
	if held, ok := k.known.GetIfPresent(s.Account); ok && k.clock().Before(held.until) {
		return signature.Signer{KeyID: held.id, Key: held.key}, nil
	}
	return k.refresh(ctx, s)
}

// refresh asks the source and the actor document. While the instance does not
// answer, the key id that was known holds for a key that has not changed.
func (k *keyring) refresh(ctx context.Context, s Sender) (signature.Signer, error) {
	key, err := k.source.Key(ctx, s)
	if err != nil {
		return signature.Signer{}, fmt.Errorf("sign as a local person: %w", err)
	}
	id, err := k.people.KeyID(ctx, mastodon.Person{Account: s.Account, Name: s.Name, Actor: s.Actor}, key)
	if old, ok := k.known.GetIfPresent(s.Account); errors.Is(err, mastodon.ErrUnavailable) && ok {
		id, err = old.id, nil
	}
	if err != nil {
		return signature.Signer{}, fmt.Errorf("read the key id of a local person: %w", err)
	}
	k.known.Set(s.Account, heldKey{id: id, key: key, until: k.clock().Add(keyFresh)})
	return signature.Signer{KeyID: id, Key: key}, nil
}
