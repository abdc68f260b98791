//go:build !race

package forward_test

import (
	"strings"
	"testing"

	"github.com/sealgate/sealgate/relay/forward"
)

// Under the race detector sync.Pool forgets on purpose, so this holds without it only.
func TestForwardingDoesNotAllocate(t *testing.T) {
	body := strings.Repeat("x", 10240)
	for _, w := range []struct{ name, head, body, reply string }{
		{"get", get, "", kilobyte}, {"post", post, body, ok}, {"chunked", get, "", chunks},
	} {
		l := mill(t, len(w.head+added+"\r\n"+w.body), w.reply)
		g := open(t, setup{upstream: forward.UpstreamOptions{URL: urlOf(l)}}, nil)
		u := newTurn(t, g.address, w.head+"\r\n"+w.body, w.reply)
		u.once(t)
		if n := testing.AllocsPerRun(500, func() { u.once(t) }); n >= 1 {
			t.Errorf("%s allocates %v times", w.name, n)
		}
	}
}
