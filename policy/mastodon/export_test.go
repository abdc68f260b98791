package mastodon

import (
	"context"
	"net/http"
	"net/url"
)

// AskDue asks about everybody who is due, as Run does.
func (r *Relations) AskDue(ctx context.Context) {
	for {
		select {
		case account := <-r.due:
			r.refreshPerson(ctx, account)
		default:
			return
		}
	}
}

// RefreshDomains is what Run does every 15 minutes.
func (r *Relations) RefreshDomains(ctx context.Context) { r.refreshDomains(ctx) }

// NextPage is what a Link header leads to.
func NextPage(link string) url.Values { return nextPage(http.Header{"Link": {link}}) }
