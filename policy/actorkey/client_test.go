package actorkey_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/policy/actorkey"
)

func TestForbidden(t *testing.T) {
	f := func(addr, want string) {
		t.Helper()
		if got := actorkey.Forbidden(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %q, want %q", addr, got, want)
		}
	}
	f("0.0.0.0", "unspecified")
	f("0.1.2.3", "unspecified")
	f("10.0.0.1", "private")
	f("172.16.0.1", "private")
	f("172.31.255.255", "private")
	f("192.168.1.1", "private")
	f("100.64.0.1", "cgnat")
	f("100.127.255.255", "cgnat")
	f("127.0.0.1", "loopback")
	f("127.255.0.1", "loopback")
	f("169.254.169.254", "link_local")
	f("192.0.0.170", "reserved")
	f("192.0.2.1", "documentation")
	f("198.51.100.1", "documentation")
	f("203.0.113.1", "documentation")
	f("192.88.99.1", "6to4")
	f("198.18.0.1", "benchmarking")
	f("224.0.0.1", "multicast")
	f("239.255.255.255", "multicast")
	f("240.0.0.1", "reserved")
	f("255.255.255.255", "reserved")
	f("::", "unspecified")
	f("::1", "loopback")
	f("::7f00:1", "reserved")
	f("::ffff:127.0.0.1", "mapped")
	f("::ffff:9.9.9.9", "mapped")
	f("64:ff9b::7f00:1", "nat64")
	f("64:ff9b::a00:1", "nat64")
	f("64:ff9b:1::a00:1", "nat64")
	f("2001::1", "teredo")
	f("2001:20::1", "reserved")
	f("2001:db8::1", "documentation")
	f("2002:7f00:1::1", "6to4")
	f("3fff::1", "documentation")
	f("fc00::1", "private")
	f("fd12:3456::1", "private")
	f("fe80::1", "link_local")
	f("fe80::1%eth0", "link_local")
	f("fec0::1", "private")
	f("ff02::1", "multicast")
	f("100::1", "reserved")
	f("5f00::1", "reserved")
	// The public internet.
	f("9.9.9.9", "")
	f("100.63.255.255", "")
	f("100.128.0.1", "")
	f("172.32.0.1", "")
	f("223.255.255.255", "")
	f("2620:fe::fe", "")
	f("2a01:4f8::1", "")
	f("2001:4860:4860::8888", "")
}

// trap counts connections to a loopback port.
func trap(t *testing.T) (url string, hits func() int) {
	t.Helper()
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { n++ }))
	t.Cleanup(s.Close)
	return s.URL, func() int { s.Close(); return n }
}

func TestNoWayIn(t *testing.T) {
	url, hits := trap(t)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	c := actorkey.NewClient(actorkey.ClientOptions{AllowPlainHTTP: true, Metrics: reg, Timeout: 5 * time.Second})
	for _, host := range []string{"127.0.0.1", "localhost", "127.1", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::]"} {
		resp, err := c.Get("http://" + host + ":" + port + "/")
		if err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s was reached", host)
		}
	}
	if n := hits(); n != 0 {
		t.Errorf("%d requests came through", n)
	}
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "sealgate_dial_refused_total" {
		t.Errorf("refusals were not counted: %v, %v", families, err)
	}
}

func TestOnlyHTTPSByDefault(t *testing.T) {
	url, hits := trap(t)
	c := actorkey.NewClient(actorkey.ClientOptions{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	resp, err := c.Get(url)
	if err == nil {
		_ = resp.Body.Close()
		t.Fatal("plain http was allowed")
	}
	if !strings.Contains(err.Error(), "federation.allow_plain_http") {
		t.Errorf("%v does not name the key that cures it", err)
	}
	if hits() != 0 {
		t.Error("reached")
	}
}

func TestPortRule(t *testing.T) {
	c := actorkey.NewClient(actorkey.ClientOptions{AllowPlainHTTP: true, Timeout: 2 * time.Second})
	for _, url := range []string{"https://9.9.9.9:8443/", "http://9.9.9.9:22/", "https://[2620:fe::fe]:25/"} {
		resp, err := c.Get(url)
		if err == nil {
			_ = resp.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "federation.allow_networks") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// TestRefused: an address that must never be reached is not, though its network is exempt.
func TestRefused(t *testing.T) {
	url, hits := trap(t)
	inner := netip.MustParseAddrPort(strings.TrimPrefix(url, "http://"))
	c := actorkey.NewClient(actorkey.ClientOptions{
		AllowPlainHTTP: true, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Refuse: []netip.AddrPort{inner},
	})
	resp, err := c.Get(url)
	if err == nil {
		_ = resp.Body.Close()
	}
	if n := hits(); err == nil || n != 0 {
		t.Errorf("%d requests reached it, %v", n, err)
	}
}

func TestRedirects(t *testing.T) {
	p := newPeer(t)
	l, err := net.Listen("tcp", "127.0.0.2:0") // answers, and is not in the allowed network
	if err != nil {
		t.Fatal(err)
	}
	var inside atomic.Int64
	secret := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) })}
	defer func() { _ = secret.Close() }()
	go func() { _ = secret.Serve(l) }()
	hidden := "http://" + l.Addr().String() + "/"
	p.handle("/in", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, hidden, http.StatusFound) })
	p.handle("/ftp", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "ftp://a.example/", http.StatusFound)
	})
	for i := range 5 {
		p.handle(fmt.Sprint("/hop", i+1), func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, fmt.Sprint("/hop", i), http.StatusTemporaryRedirect)
		})
	}
	p.handle("/hop0", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	c := actorkey.NewClient(actorkey.ClientOptions{
		AllowPlainHTTP: true, AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	})
	get := func(path string) error {
		resp, err := c.Get(p.URL + path)
		if err == nil {
			return resp.Body.Close()
		}
		return err
	}
	if err := get("/hop3"); err != nil {
		t.Errorf("three redirects: %v", err)
	}
	if err := get("/hop4"); err == nil {
		t.Error("four redirects were followed")
	}
	if err := get("/in"); err == nil || inside.Load() != 0 {
		t.Errorf("a redirect led inside: %v", err)
	}
	if err := get("/ftp"); err == nil {
		t.Error("a redirect led to ftp")
	}
	resp, err := c.Post(p.URL+"/hop1", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("a POST was redirected: %d", resp.StatusCode)
	}
}

func TestABombBurstsAtTheCap(t *testing.T) {
	p := newPeer(t)
	p.handle("/bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/activity+json")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.Copy(z, io.LimitReader(zeros{}, 64<<20))
		_ = z.Close()
	})
	exact := strings.Repeat("x", 1<<20)
	p.handle("/exact", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, exact) })
	resp, err := client().Get(p.URL + "/bomb")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err == nil || len(b) > 1<<20 {
		t.Errorf("read %d bytes, %v", len(b), err)
	}
	resp, err = client().Get(p.URL + "/exact")
	if err != nil {
		t.Fatal(err)
	}
	b, err = io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || len(b) != 1<<20 {
		t.Errorf("exactly the cap: %d bytes, %v", len(b), err)
	}
	mustFail(t, newKeys(t, actorkey.Options{}), p.URL+"/bomb#k", actorkey.ErrNoKey)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestASlowServerIsUnavailable(t *testing.T) {
	p := newPeer(t)
	stop := make(chan struct{})
	p.handle("/drip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/activity+json")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	})
	defer close(stop)
	k := newKeys(t, actorkey.Options{Timeout: 50 * time.Millisecond})
	mustFail(t, k, p.URL+"/drip#k", actorkey.ErrUnavailable)
}

func TestStatuses(t *testing.T) {
	p := newPeer(t)
	for code, want := range map[int]error{
		400: actorkey.ErrNoKey, 401: actorkey.ErrUnavailable, 403: actorkey.ErrUnavailable, 404: actorkey.ErrNoKey,
		406: actorkey.ErrNoKey, 408: actorkey.ErrUnavailable, 410: actorkey.ErrNoKey, 429: actorkey.ErrUnavailable,
		500: actorkey.ErrUnavailable, 502: actorkey.ErrUnavailable, 503: actorkey.ErrUnavailable, 204: actorkey.ErrNoKey,
	} {
		path := fmt.Sprint("/", code)
		p.handle(path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		mustFail(t, newKeys(t, actorkey.Options{}), p.URL+path+"#k", want)
	}
	p.handle("/html", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "{}")
	})
	mustFail(t, newKeys(t, actorkey.Options{}), p.URL+"/html#k", actorkey.ErrNoKey)
	gone := newPeer(t)
	gone.Close()
	mustFail(t, newKeys(t, actorkey.Options{}), gone.URL+"/a#k", actorkey.ErrUnavailable)
	mustFail(t, newKeys(t, actorkey.Options{Client: actorkey.NewClient(actorkey.ClientOptions{})}), "https://127.0.0.1/a#k", actorkey.ErrNoKey)
}

func TestAuthorizedFetch(t *testing.T) {
	p := newPeer(t)
	doc := p.actor(t, "/users/a", edPublic)
	p.serve("/real", doc)
	p.handle("/users/a", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Signature") != "for "+r.URL.Path {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		p.docs["/real"](w, r)
	})
	p.handle("/moved", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Signature") != "for "+r.URL.Path {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, "/users/a", http.StatusFound)
	})
	sign := func(r *http.Request) error { r.Header.Set("Signature", "for "+r.URL.Path); return nil }
	id := p.URL + "/users/a"
	mustFail(t, newKeys(t, actorkey.Options{}), id+"#main-key", actorkey.ErrUnavailable)
	mustKey(t, newKeys(t, actorkey.Options{Sign: sign}), id+"#main-key", id, edPublic)
	// A redirected fetch is signed anew for where it goes: it arrives, and
	// fails only because the document is somebody else's.
	mustFail(t, newKeys(t, actorkey.Options{Sign: sign}), p.URL+"/moved#main-key", actorkey.ErrNoKey)
	broken := func(*http.Request) error { return errors.New("no key") }
	mustFail(t, newKeys(t, actorkey.Options{Sign: broken}), id+"#main-key", actorkey.ErrUnavailable)
}

func TestAcceptHeader(t *testing.T) {
	p := newPeer(t)
	got := make(chan string, 1)
	p.handle("/a", func(w http.ResponseWriter, r *http.Request) { got <- r.Header.Get("Accept"); http.NotFound(w, r) })
	mustFail(t, newKeys(t, actorkey.Options{}), p.URL+"/a#k", actorkey.ErrNoKey)
	if a := <-got; !strings.HasPrefix(a, "application/activity+json") || strings.Contains(a, "*/*") {
		t.Errorf("Accept: %s", a)
	}
}
