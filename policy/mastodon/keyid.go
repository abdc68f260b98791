package mastodon

import (
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/sealgate/sealgate/policy/signature"
)

// KeyID reads the id of a local person's key from their actor document, as the
// instance serves it: the first publicKey. Where that takes a signature
// (authorized fetch), key makes it. ErrUnavailable when there is none to be read.
func (i *Instance) KeyID(ctx context.Context, p Person, key crypto.Signer) (string, error) {
	u, err := url.Parse(p.Actor)
	if err != nil || !i.local(u) {
		return "", ErrNoPerson
	}
	// The key id that all of Mastodon had up to 4.6; it looks the key up at home.
	signer := signature.Signer{KeyID: p.Actor + "#main-key", Key: key}
	reply, err := i.upstream.askOpenly(ctx, question{
		path: u.EscapedPath(), accept: activityJSON,
		sign: func(req *http.Request) error { return signature.SignHTTP(req, nil, signer, time.Now()) },
	})
	if err != nil {
		return "", err
	}
	var doc struct {
		PublicKey json.RawMessage `json:"publicKey"`
	}
	if err := reply.into(&doc); err != nil {
		return "", err
	}
	id := firstKey(doc.PublicKey)
	if id == "" {
		return "", fmt.Errorf("%w: the actor document of a local person names no publicKey", ErrUnavailable)
	}
	return id, nil
}

func firstKey(raw json.RawMessage) string {
	var many []json.RawMessage
	if json.Unmarshal(raw, &many) == nil && len(many) > 0 {
		raw = many[0]
	}
	var key struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(raw, &key) != nil {
		_ = json.Unmarshal(raw, &key.ID)
	}
	return key.ID
}
