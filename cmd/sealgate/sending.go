package main

import (
	"crypto/rsa"
	"net/http"
	"time"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/signature"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/outbox"
)

// newOutbox makes what sends local people's messages.
func (g *gateway) newOutbox(own *rsa.PrivateKey) (*outbox.Outbox, error) {
	keys, err := newSigningSource(g.config.Signing)
	if err != nil {
		return nil, err
	}
	f, base := g.config.Federation, publicBase(g.config)
	keyID := relay.OwnKeyID(base)
	client := actorkey.NewClient(actorkey.ClientOptions{
		Timeout: time.Duration(f.Timeout), AllowPlainHTTP: f.AllowPlainHTTP, AllowNetworks: f.AllowNetworks,
		UserAgent: "Sealgate/" + version + " (+" + relay.OwnActor(base) + ")", Metrics: g.metrics,
	})
	g.later(func() error { client.CloseIdleConnections(); return nil })
	return outbox.New(outbox.Options{
		Domain: g.config.Domain, Base: base, Store: g.store, Inbox: g.inbox, People: g.people, Keys: keys, Client: client,
		Sign: func(r *http.Request) error {
			return signature.SignHTTP(r, nil, signature.Signer{KeyID: keyID, Key: own}, time.Now())
		},
		Limits: activity.Limits{Depth: g.config.Limits.JSONDepth, Keys: g.config.Limits.JSONKeys},
		Log:    g.log, Metrics: g.metrics,
	}), nil
}

// newSigningSource opens where local people's keys are; nil for none.
func newSigningSource(c configs.Signing) (outbox.Keys, error) {
	if c.Source != "file" {
		return nil, nil //nolint:nilnil // no source is an ordinary choice, not an error
	}
	return outbox.NewFiles(c.File)
}
