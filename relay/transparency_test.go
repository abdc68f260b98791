package relay_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay"
)

// TestWhatIsPublishedOfThePolicy: a page to a browser, JSON to others, neither
// kept by a proxy for long.
func TestWhatIsPublishedOfThePolicy(t *testing.T) {
	w := newWorldWith(t, memory(), gate{}, func(o *relay.Options) {
		o.Published = func() relay.Published {
			return relay.Published{
				Rules:     []rules.PublicRule{{At: rules.Contact, Then: rules.Hold, Looks: []string{"<b>whoever</b>"}}},
				Retention: []relay.Retention{{What: "Messages", Kept: "30 days"}},
			}
		}
	})
	page := w.ask(t, http.MethodGet, "/e2ee/policy", nil, "Accept", "text/html,*/*")
	for _, want := range []string{"&lt;b&gt;whoever&lt;/b&gt;", "Messages: 30 days.", "social.example"} {
		if page.status != http.StatusOK || !strings.Contains(page.body, want) {
			t.Errorf("%d: the page lacks %q:\n%s", page.status, want, page.body)
		}
	}
	if csp := page.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("the page may load what it likes: %q", csp)
	}
	data := w.ask(t, http.MethodGet, "/e2ee/policy", nil, "Accept", "*/*")
	var got relay.Published
	if err := json.Unmarshal([]byte(data.body), &got); err != nil || len(got.Rules) != 1 || len(got.Retention) != 1 {
		t.Errorf("%v: %s", err, data.body)
	}
	for _, a := range []answer{page, data} {
		if a.header.Get("Cache-Control") != "public, max-age=300" || a.header.Get("Vary") != "Accept" {
			t.Errorf("kept as %q, varying with %q", a.header.Get("Cache-Control"), a.header.Get("Vary"))
		}
	}
	if a := newWorld(t, memory(), gate{}).ask(t, http.MethodGet, "/e2ee/policy", nil); a.status != http.StatusNotFound && !strings.Contains(a.body, "upstream") {
		t.Errorf("without a policy: %d %s", a.status, a.body)
	}
}
