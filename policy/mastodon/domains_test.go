package mastodon_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/policy/rules"
)

// TestLongListsOfDomains: the public list comes in one answer of several MiB and takes several rows of the shelf;
// one on which a row is missing knows nothing.
func TestLongListsOfDomains(t *testing.T) {
	w := newTown(t)
	var m instance.Moderation
	for n := range 30_000 {
		m.Blocks = append(m.Blocks, instance.DomainBlock{Domain: fmt.Sprintf("h%d.example", n), Severity: "suspend"})
	}
	w.sample.Moderate(m)
	all := func(rel rules.Rel) {
		t.Helper()
		w.RefreshDomains(t.Context())
		w.want(t, "https://h0.example/users/a", rel)
		w.want(t, "https://under.h29999.example/users/a", rel)
		w.want(t, "https://h30000.example/users/a", rules.Stranger)
	}
	all(rules.Blocked)
	w.away.Store(true)
	w.start(t)
	all(rules.Blocked)

	for about := range w.shelf.rows {
		if strings.HasSuffix(about, "domains 1") {
			delete(w.shelf.rows, about)
		}
	}
	w.start(t)
	all(rules.Stranger)
}
