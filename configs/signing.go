package configs

// signing checks that the source has what it needs.
func (c *checker) signing() {
	s := c.config.Signing
	switch s.Source {
	case "file":
		if s.File == "" {
			c.wrong("signing.file", "is missing: signing.source is file, and this is the directory of the keys")
		}
	case "mastodon-database", "mastodon-sidekiq":
		c.add(c.keys["signing.source"], "this release is without this source: use file", "file")
	}
}
