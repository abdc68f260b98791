package policy

import (
	"context"
	"crypto"
	"errors"
	"fmt"

	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/policy/signature"
	"github.com/sealgate/sealgate/policy/turn"
)

// identify goes from the request to its signer.
func (g *Gate) identify(ctx context.Context, a Arrival, client ratelimit.Key) (string, Signer, error) {
	lane := g.laneOf(client)
	sig, err := g.parse(ctx, lane, &a.Request)
	if err != nil {
		return schemeOf(&a.Request), Signer{}, err
	}
	key, err := g.key(ctx, a, client, sig.KeyID)
	if err != nil {
		return sig.Scheme, Signer{}, err
	}
	refresh := func() (actorkey.Key, error) { return g.fetch(ctx, a, client, sig.KeyID, g.keys.Refresh) }
	if key, err = g.verify(ctx, lane, sig, key, refresh); err != nil {
		return sig.Scheme, Signer{}, err
	}
	g.proven.Set(client, struct{}{})
	return sig.Scheme, Signer{Actor: key.Actor, Agent: key.Agent}, nil
}

// key is the one with the id. Whoever must wait for it to be fetched is bounded.
func (g *Gate) key(ctx context.Context, a Arrival, client ratelimit.Key, id string) (actorkey.Key, error) {
	if g.keys.Has(id) {
		key, err := g.keys.Key(ctx, id)
		return key, keyError(err)
	}
	return g.fetch(ctx, a, client, id, g.keys.Key)
}

// fetch has get fetch a key, when there is room for somebody who waits for its host.
func (g *Gate) fetch(ctx context.Context, a Arrival, client ratelimit.Key, id string, get func(context.Context, string) (actorkey.Key, error)) (actorkey.Key, error) {
	leave, err := g.lookups.enter(client, id)
	if err != nil {
		return actorkey.Key{}, err
	}
	defer leave()
	if a.Wait != nil {
		over, err := a.Wait(actorkey.Host(id))
		if err != nil {
			return actorkey.Key{}, err
		}
		defer over()
	}
	turn.GiveUp(ctx)
	key, err := get(ctx, id)
	return key, keyError(err)
}

// laneOf lets in first whose signatures have held before.
func (g *Gate) laneOf(client ratelimit.Key) *lane {
	if _, ok := g.proven.GetIfPresent(client); ok {
		return &g.pool.known
	}
	return &g.pool.strangers
}

// parse checks all that needs no key, digest included, in the pool.
func (g *Gate) parse(ctx context.Context, l *lane, r *signature.Request) (*signature.Signature, error) {
	var sig *signature.Signature
	err := l.do(ctx, func() (err error) {
		sig, err = signature.Parse(r, signature.Rules{Domain: g.domain, Now: g.clock()})
		return err
	})
	return sig, signatureError(err)
}

// verify holds the signature against the key, and once more against a fresh one
// when the key has changed since it was remembered.
func (g *Gate) verify(ctx context.Context, l *lane, sig *signature.Signature, key actorkey.Key, refresh func() (actorkey.Key, error)) (actorkey.Key, error) {
	check := func(public crypto.PublicKey) error {
		return l.do(ctx, func() error { return sig.Verify(public) })
	}
	err := check(key.Public)
	if !errors.Is(err, signature.ErrMismatch) {
		return key, signatureError(err)
	}
	fresh, refreshErr := refresh()
	if refreshErr != nil {
		return key, fmt.Errorf("%w after %w", refreshErr, err)
	}
	if equal(fresh.Public, key.Public) {
		return key, signatureError(err)
	}
	return fresh, signatureError(check(fresh.Public))
}

// equal compares public keys.
func equal(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// signatureError makes an error of package signature an ErrSignature, and
// leaves the pool's own alone.
func signatureError(err error) error {
	if err == nil || errors.Is(err, ErrBusy) || errors.Is(err, ErrKeyUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrSignature, err)
}

// keyError sorts what package actorkey answers.
func keyError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, actorkey.ErrNoKey) {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return fmt.Errorf("%w: %w", ErrKeyUnavailable, err)
}
