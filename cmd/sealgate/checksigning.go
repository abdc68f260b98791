package main

import (
	"context"
	"strings"

	"github.com/sealgate/sealgate/relay/outbox"
)

// signing tries every key that messages to other servers would be signed with.
func (c *checker) signing(ctx context.Context) {
	switch c.config.Signing.Source {
	case "file":
		c.files(ctx)
	case "mastodon-database":
		c.database(ctx)
	case "mastodon-sidekiq":
		c.sidekiq(ctx)
	default:
		c.note("signing", "signing.source is none: people receive, and write to each other here; messages to other servers are refused",
			"set signing.source: mastodon-database, or one of the others in docs/sending.md")
	}
}

func (c *checker) files(ctx context.Context) {
	files, err := outbox.NewFiles(c.config.Signing.File)
	if err == nil {
		err = files.Look(ctx)
	}
	if err != nil {
		c.wrong("signing", err.Error(), "put the people's private keys into the directory signing.file, as {username}.pem: PEM, PKCS #1 or PKCS #8")
		return
	}
	c.ok("signing", "every key in signing.file can be used")
}

// sidekiq tries whether jobs could be pushed, and prints what the user needs.
func (c *checker) sidekiq(ctx context.Context) {
	queue, err := newSidekiq(c.config.Signing)
	if err != nil {
		c.wrong("signing", err.Error(), "signing.redis: redis://user:password@host:6379/0, better file:path")
		return
	}
	defer queue.Close() //nolint:errcheck // it was only asked
	c.note("signing", "what the user of signing.redis needs, and no more", queue.ACL())
	if err := queue.Look(ctx); err != nil {
		c.wrong("signing", err.Error(), "until then messages to other servers wait")
		return
	}
	c.ok("signing", "jobs can be pushed to signing.redis; Mastodon signs and sends, without a promise of order, and nobody is told of what fails")
}

// database reads one key as the gateway would, and prints what the role needs.
func (c *checker) database(ctx context.Context) {
	db, err := newDatabase(c.config.Signing)
	if err != nil {
		c.wrong("signing", err.Error(), "signing.database: postgres://role:password@host/mastodon_production, better file:path")
		return
	}
	defer db.Close()
	found, err := db.Look(ctx)
	if len(found.Grants) > 0 {
		c.note("signing", "what the role of signing.database needs, and no more", strings.Join(found.Grants, " "))
	}
	if len(found.Wide) > 0 {
		c.note("signing", "the role of signing.database may do more than it needs with: "+strings.Join(found.Wide, ", "),
			"make a role of its own with the GRANTs above")
	}
	if err != nil {
		c.wrong("signing", err.Error(), "until then messages to other servers wait")
		return
	}
	c.ok("signing", "the key of "+found.Name+" can be read from signing.database")
}
