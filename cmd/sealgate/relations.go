package main

import (
	"context"
	"fmt"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/policy/mastodon"
)

// newRelations makes what asks the instance whom its people and it itself block, mute and follow: with the
// tokens of connected clients, and those that the instance gave when people signed in here. It asks
// nothing before the rest of the gateway is there.
func (g *gateway) newRelations() *mastodon.Relations {
	return g.people.NewRelations(mastodon.RelationsOptions{
		Shelf: g.store, AdminToken: adminToken(g.config),
		Login: func(ctx context.Context, account string) (string, error) { return g.signIn.Login(ctx, account) },
		Name:  func(actor string) string { return g.keys.Name(actor) },
	})
}

// adminToken reads upstream.admin_token at each call; its error names the key.
func adminToken(config configs.Config) func() (string, error) {
	return func() (string, error) {
		token, err := config.Upstream.AdminToken.Reveal()
		if err != nil {
			err = fmt.Errorf("upstream.admin_token: %w", err)
		}
		return token, err
	}
}
