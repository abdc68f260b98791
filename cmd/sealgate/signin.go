package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/netip"
	"net/url"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/storage"
)

// signInSecret is under which the store keeps what sign-ins under way are sealed with.
const signInSecret = "sign-in secret"

// newOutside makes what fetches other servers' documents for local people. It reaches what the
// federation client does, less where the instance and the operator listen.
func (g *gateway) newOutside(own *rsa.PrivateKey) *relay.Outside {
	return &relay.Outside{Client: g.newClient(actorkey.ClientOptions{Refuse: addresses(g.internal())}), Sign: g.signAs(own)}
}

// internal is every host:port that only the gateway itself may ask.
func (g *gateway) internal() []string {
	list := []string{string(g.config.Admin.Listen)}
	for _, upstream := range []string{g.config.Upstream.Web, g.config.Upstream.Streaming} {
		if u, err := url.Parse(upstream); err == nil && u.Host != "" {
			list = append(list, u.Host)
		}
	}
	return list
}

// addresses are those of list that name no host to be looked up.
func addresses(list []string) []netip.AddrPort {
	var found []netip.AddrPort
	for _, one := range list {
		if a, err := netip.ParseAddrPort(one); err == nil {
			found = append(found, a)
		}
	}
	return found
}

// newSignIn makes the authorization server for E2EE clients.
func (g *gateway) newSignIn(outside *relay.Outside) (*oauth.Server, error) {
	secret, err := keptSecret(context.Background(), g.store)
	if err != nil {
		return nil, err
	}
	base := publicBase(g.config)
	people, err := g.people.NewSignIn(mastodon.SignInOptions{
		Base: base, Redirect: oauth.Callback(base), Apps: g.store, Log: g.log,
	})
	if err != nil {
		return nil, err
	}
	return oauth.New(oauth.Options{
		Base: base, Secret: secret, Store: g.store, Instance: people,
		Fetch: outside.ClientDocument, Plain: plainClients(g.config.Federation), Log: g.log,
	})
}

func plainClients(f configs.Federation) oauth.Plain {
	if f.AllowPlainHTTP {
		return oauth.AllowPlain
	}
	return oauth.NoPlain
}

// keptSecret is the store's own, made on the first start.
func keptSecret(ctx context.Context, store *storage.Store) ([]byte, error) {
	secret, err := store.Kept(ctx, signInSecret)
	if errors.Is(err, storage.ErrNotKept) {
		secret = make([]byte, 32)
		_, _ = rand.Read(secret) // never fails, or ends the program
		err = store.Keep(ctx, signInSecret, secret)
	}
	if err != nil {
		return nil, fmt.Errorf("keep the secret of sign-ins: %w", err)
	}
	return secret, nil
}
