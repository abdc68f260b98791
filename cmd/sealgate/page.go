package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/relay"
	"github.com/sealgate/sealgate/relay/admin/page"
)

// newPage makes the operator's page. Administrators log in through an application of its own at the
// instance, which comes back to the page's address.
func (g *gateway) newPage() (*page.Page, error) {
	origin := pageOrigin(g.config.Admin)
	login, err := g.people.NewSignIn(mastodon.SignInOptions{
		Base: publicBase(g.config), Redirect: page.Callback(origin), Apps: g.store.Apps("of the operator's page"),
		Scopes: []string{"profile"}, Log: g.log,
	})
	if err != nil {
		return nil, err
	}
	var kept []page.Retention
	for _, r := range g.retention() {
		kept = append(kept, page.Retention(r))
	}
	return page.New(page.Options{
		URL: origin, Domain: g.config.Domain, Version: "Sealgate " + version, Policy: g.book, Entries: g.store.Entries,
		Preset: configs.Preset, Requests: doorkeeper{g.store, g.inbox}.waiting, Gatherer: g.metrics, Instance: login, Retention: kept, Leaving: g.leaving.Load, Log: g.log,
	})
}

// pageOrigin is admin.url, or what a browser on this machine would open.
func pageOrigin(c configs.Admin) string {
	switch {
	case c.URL != "":
		return c.URL
	case strings.HasPrefix(string(c.Listen), "unix:"):
		return "http://localhost"
	}
	return "http://" + string(c.Listen)
}

// published is what everybody may know of the policy.
func (g *gateway) published() relay.Published {
	return relay.Published{Rules: g.book.Current().Public(), Retention: g.retention()}
}

// retention is how long what is kept, is kept.
func (g *gateway) retention() []relay.Retention {
	box := g.config.Mailbox
	return []relay.Retention{
		{What: "Encrypted messages", Kept: "until every device of their owner has read them, at most " + spelled(box.Retention)},
		{What: "Message requests that nobody has answered", Kept: spelled(box.Requests.Keep)},
		{What: "Which rule decided what, by server, without anybody's name", Kept: "7 days"},
		{What: "Changes of the rules", Kept: "one year"},
	}
}

// spelled is a time in days or, under two of them, in hours.
func spelled(d configs.Duration) string {
	n, unit := time.Duration(d)/time.Hour, " hours"
	if n >= 48 {
		n, unit = n/24, " days"
	}
	return strconv.Itoa(int(n)) + unit
}
