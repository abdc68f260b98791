package main

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"time"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/policy/actorkey"
	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/relay/outbox/mastodondb"
	"github.com/sealgate/sealgate/relay/outbox/sidekiq"
)

// newOutbox makes what sends local people's messages.
func (g *gateway) newOutbox(own *rsa.PrivateKey) (*outbox.Outbox, error) {
	keys, courier, err := g.openSigning()
	if err != nil {
		return nil, err
	}
	return outbox.New(outbox.Options{
		Base: publicBase(g.config), Store: g.store, Inbox: g.inbox, Intake: g.intake, People: g.people,
		Keys: keys, Courier: courier, Client: g.newClient(actorkey.ClientOptions{}), Sign: g.signAs(own),
		Limits: activity.Limits{Depth: g.config.Limits.JSONDepth, Keys: g.config.Limits.JSONKeys},
		Each:   g.config.Sending.Addressing == "each", Jitter: time.Duration(g.config.Sending.Jitter),
		Log: g.log, Metrics: g.metrics,
	}), nil
}

var errFiles = errors.New("signing.file has no keys, or some that cannot be used: sealgate check says which")

// openSigning opens where local people's keys are, or who signs instead; neither for
// none. A source that cannot sign now says so; receiving goes on, and what is sent waits.
func (g *gateway) openSigning() (keys outbox.Keys, courier outbox.Courier, err error) {
	var looked error
	switch c := g.config.Signing; c.Source {
	case "file":
		files, err := outbox.NewFiles(c.File)
		if err != nil {
			return nil, nil, err
		}
		keys = files
		if files.Look(context.Background()) != nil { // it names people
			looked = errFiles
		}
	case "mastodon-database":
		db, err := newDatabase(c)
		if err != nil {
			return nil, nil, err
		}
		g.later(func() error { db.Close(); return nil })
		keys = db
		_, looked = db.Look(context.Background())
	case "mastodon-sidekiq":
		queue, err := newSidekiq(c)
		if err != nil {
			return nil, nil, err
		}
		g.later(queue.Close)
		courier, looked = queue, queue.Look(context.Background())
	}
	if looked != nil {
		g.log.Error("signing source cannot sign", "error", looked)
	}
	return keys, courier, nil
}

func newSidekiq(c configs.Signing) (*sidekiq.Queue, error) {
	url, err := c.Redis.Reveal()
	if err != nil {
		return nil, fmt.Errorf("signing.redis: %w", err)
	}
	return sidekiq.New(url, time.Now)
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
