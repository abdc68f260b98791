package relay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/sealgate/sealgate/policy/mastodon"
)

// stillOwner is nil while the token still opens the mailbox of p. What the
// instance said longer ago than half a heartbeat does not count, so that a stream
// outlives its token by less than two heartbeats.
func (r *Relay) stillOwner(ctx context.Context, token string, p mastodon.Person) error {
	caller, err := r.callerNow(ctx, token)
	if err != nil {
		return err
	}
	if caller.Account != p.Account {
		return errNotOwner
	}
	return caller.MayRead()
}

// callerNow is caller with an answer of the instance's that is young.
func (r *Relay) callerNow(ctx context.Context, token string) (mastodon.Caller, error) {
	if r.issued(token) {
		return r.signIn.server.Caller(ctx, token)
	}
	return r.people.CallerWithin(ctx, token, r.heartbeat/2)
}

// readerName tells a person's devices apart: by the device that signed in here, or
// by the hash of the instance's token, of which each is taken for a device.
func (r *Relay) readerName(ctx context.Context, token string) (string, error) {
	if r.issued(token) {
		id, err := r.signIn.server.Device(ctx, token)
		return "device " + id, err
	}
	sum := sha256.Sum256([]byte(token))
	return "token " + hex.EncodeToString(sum[:16]), nil
}
