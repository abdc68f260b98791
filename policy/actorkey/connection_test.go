package actorkey_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

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

// TestAHostWithoutAPublicAddress is refused; one that has another address, which does not answer, is not.
func TestAHostWithoutAPublicAddress(t *testing.T) {
	c := actorkey.NewClient(actorkey.ClientOptions{AllowPlainHTTP: true, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.3/32")}})
	actorkey.Resolve(c, resolver(t, map[string][][4]byte{
		"inside.example.": {{10, 0, 0, 1}, {127, 0, 0, 2}},
		"partly.example.": {{127, 0, 0, 2}, {127, 0, 0, 3}},
	}))
	for host, want := range map[string]bool{"inside.example": true, "partly.example": false, "nowhere.example": false} {
		resp, err := c.Get("http://" + host + ":1/")
		if err == nil {
			_ = resp.Body.Close()
		}
		if err == nil || errors.Is(err, actorkey.ErrRefused) != want {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// resolver knows names by their IPv4 addresses.
func resolver(t *testing.T, names map[string][][4]byte) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		for packet := make([]byte, 512); ; {
			n, from, err := server.ReadFrom(packet)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(packet[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true}, Questions: m.Questions}
			addresses, isKnown := names[q.Name.String()]
			if !isKnown {
				reply.RCode = dnsmessage.RCodeNameError
			}
			for _, a := range addresses {
				if q.Type == dnsmessage.TypeA {
					header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
					reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a}})
				}
			}
			if answer, err := reply.Pack(); err == nil {
				_, _ = server.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}
