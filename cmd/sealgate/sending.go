package main

import (
	"context"
	"crypto/rsa"
	"fmt"
	"net/http"
	"time"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/policy/signature"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/relay/outbox/mastodondb"
)

// newOutbox makes what sends local people's messages.
func (g *gateway) newOutbox(own *rsa.PrivateKey) (*outbox.Outbox, error) {
	keys, err := newSigningSource(g.config.Signing)
	if err != nil {
		return nil, err
	}
	if db, ok := keys.(*mastodondb.Source); ok {
		g.later(func() error { db.Close(); return nil })
		if _, err := db.Look(context.Background()); err != nil { // receiving goes on; what is sent waits
			g.log.Error("signing source cannot sign", "error", err)
		}
	}
	f, base := g.config.Federation, publicBase(g.config)
	keyID := relay.OwnKeyID(base)
	client := actorkey.NewClient(actorkey.ClientOptions{
		Timeout: time.Duration(f.Timeout), AllowPlainHTTP: f.AllowPlainHTTP, AllowNetworks: f.AllowNetworks,
		UserAgent: "Sealgate/" + version + " (+" + relay.OwnActor(base) + ")", Metrics: g.metrics,
	})
	g.later(func() error { client.CloseIdleConnections(); return nil })
	return outbox.New(outbox.Options{
		Domain: g.config.Domain, Base: base, Store: g.store, Inbox: g.inbox, Intake: g.intake, People: g.people, Keys: keys, Client: client,
		Sign: func(r *http.Request) error {
			return signature.SignHTTP(r, nil, signature.Signer{KeyID: keyID, Key: own}, time.Now())
		},
		Limits: activity.Limits{Depth: g.config.Limits.JSONDepth, Keys: g.config.Limits.JSONKeys},
		Each:   g.config.Sending.Addressing == "each", Jitter: time.Duration(g.config.Sending.Jitter),
		Log: g.log, Metrics: g.metrics,
	}), nil
}

// newSigningSource opens where local people's keys are; nil for none.
func newSigningSource(c configs.Signing) (outbox.Keys, error) {
	switch c.Source {
	case "file":
		return outbox.NewFiles(c.File)
	case "mastodon-database":
		return newDatabase(c)
	}
	return nil, nil //nolint:nilnil // no source is an ordinary choice, not an error
}

func newDatabase(c configs.Signing) (*mastodondb.Source, error) {
	var o mastodondb.Options
	for _, s := range []struct {
		key    string
		secret configs.Secret
		into   *string
	}{
		{"signing.database", c.Database, &o.URL},
		{"signing.encryption.primary_key", c.Encryption.PrimaryKey, &o.PrimaryKey},
		{"signing.encryption.key_derivation_salt", c.Encryption.KeyDerivationSalt, &o.Salt},
	} {
		text, err := s.secret.Reveal()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.key, err)
		}
		*s.into = text
	}
	return mastodondb.New(o)
}
