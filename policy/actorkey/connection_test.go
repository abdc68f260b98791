package actorkey_test

import (
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/actorkey"
)

// TestConnectionsAreKept: HTTP/2 where the server has it, and one connection for many
// requests either way, posts and answers with a body included.
func TestConnectionsAreKept(t *testing.T) {
	for _, proto := range []string{"HTTP/2.0", "HTTP/1.1"} {
		var opened atomic.Int64
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Proto != proto {
				t.Errorf("it speaks %s, want %s", r.Proto, proto)
			}
			_, _ = io.Copy(w, r.Body)
		}))
		s.EnableHTTP2 = proto == "HTTP/2.0"
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				opened.Add(1)
			}
		}
		s.StartTLS()
		c := actorkey.NewClient(actorkey.ClientOptions{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
		roots := x509.NewCertPool()
		roots.AddCert(s.Certificate())
		actorkey.Trust(c, roots)
		for range 20 {
			resp, err := c.Post(s.URL+"/inbox", "application/json", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		if n := opened.Load(); n != 1 {
			t.Errorf("%s: %d connections for 20 requests", proto, n)
		}
		c.CloseIdleConnections()
		s.Close()
	}
}

// TestClientTimeout: an exchange ends after federation.timeout, 10 s when nothing is
// said, whether the head or the body does not come.
func TestClientTimeout(t *testing.T) {
	if d := actorkey.NewClient(actorkey.ClientOptions{}).Timeout; d != 10*time.Second {
		t.Errorf("by default %s", d)
	}
	p, stop := newPeer(t), make(chan struct{})
	defer close(stop)
	hang := func(r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}
	p.handle("/head", func(_ http.ResponseWriter, r *http.Request) { hang(r) })
	p.handle("/body", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		hang(r)
	})
	c := actorkey.NewClient(actorkey.ClientOptions{
		Timeout: 100 * time.Millisecond, AllowPlainHTTP: true, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	defer c.CloseIdleConnections()
	for _, path := range []string{"/head", "/body"} {
		resp, err := c.Post(p.URL+path, "application/json", strings.NewReader("{}"))
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: it ended well", path)
		}
	}
}
