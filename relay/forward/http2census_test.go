package forward_test

import (
	"bufio"
	"io"
	"net"
	"testing"

	"github.com/sealgate/sealgate/relay/forward"
)

// TestHTTP2RequestsPerClient: what an address has under way over HTTP/2 counts like connections, however few
// connections bring it; when something ends there is room again.
func TestHTTP2RequestsPerClient(t *testing.T) {
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	up := serveScript(t, "tcp", func(c net.Conn, _ int) {
		defer c.Close()
		r := bufio.NewReader(c)
		for {
			if _, err := headOf(r); err != nil {
				return
			}
			arrived <- struct{}{}
			<-release
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	g := openSecure(t, setup{
		upstream: forward.UpstreamOptions{URL: urlOf(up)},
		server:   forward.ServerOptions{Limits: forward.Limits{ConnectionsPerClient: 4}},
	}, nil)
	r := dial2(t, g.address)
	for _, id := range []uint32{1, 3, 5} { // with the connection: four
		r.ask(id, true, plainGet...)
		<-arrived
	}
	r.ask(7, true, plainGet...)
	if got := r.outcome(7); got != "429" {
		t.Errorf("one too many: %s", got)
	}
	if metric(t, g, "sealgate_limit_exceeded_total", "connections_per_client") != 1 {
		t.Error("not counted")
	}
	close(release)
	id := uint32(7)
	eventually(t, "there is room again", func() bool {
		id += 2
		r.ask(id, true, plainGet...)
		return r.outcome(id) == "200"
	})
}
