package main

import (
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/push"
)

// newPush wakes devices for every message that is kept. It goes out through the client that cannot be
// sent inside.
func (g *gateway) newPush() (*push.Pusher, error) {
	key, err := pushKey().loadOrMake(g.config)
	if err != nil {
		return nil, err
	}
	pusher, err := push.New(push.Options{
		Values: g.store, Client: g.newClient(actorkey.ClientOptions{MaxBytes: 64 << 10}), Key: key,
		Subject: relay.OwnActor(publicBase(g.config)), AllowPlainHTTP: g.config.Federation.AllowPlainHTTP,
		Log: g.log, Metrics: g.metrics,
	})
	if err != nil {
		return nil, err
	}
	g.inbox.OnMail(pusher.Wake)
	g.later(func() error { pusher.Close(); return nil })
	return pusher, nil
}
