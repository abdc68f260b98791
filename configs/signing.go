package configs

// signing checks that the source has what it needs.
func (c *checker) signing() {
	s := c.config.Signing
	switch s.Source {
	case "file":
		if s.File == "" {
			c.wrong("signing.file", "is missing: signing.source is file, and this is the directory of the keys")
		}
	case "mastodon-database":
		if s.Database.IsZero() {
			c.wrong("signing.database", "is missing: signing.source is mastodon-database, and this is its postgres:// address")
		}
		if !s.Encryption.PrimaryKey.IsZero() && s.Encryption.KeyDerivationSalt.IsZero() {
			c.wrong("signing.encryption.key_derivation_salt", "is missing: signing.encryption.primary_key needs it")
		}
	case "mastodon-sidekiq":
		if s.Redis.IsZero() {
			c.wrong("signing.redis", "is missing: signing.source is mastodon-sidekiq, and this is its redis:// address")
		}
	}
}
