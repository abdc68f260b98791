package forward_test

import (
	"io"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/sealgate/sealgate/relay/forward"
)

// TestClientAddr: who a request is from, by what the connection and trusted proxies say, and nobody else.
func TestClientAddr(t *testing.T) {
	t.Parallel()
	whose := func(*forward.Upstream) fasthttp.RequestHandler {
		return func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(forward.ClientAddr(ctx).String()) }
	}
	up := forward.UpstreamOptions{URL: "http://127.0.0.1:1"}
	doors := map[string]*gateway{
		"proxied": open(t, setup{upstream: up, server: forward.ServerOptions{TrustedProxies: loopback}}, whose),
		"direct":  open(t, setup{upstream: up}, whose),
		"unix":    open(t, setup{upstream: up, listen: "unix:" + t.TempDir() + "/front.sock"}, whose),
	}
	for _, w := range []struct{ door, said, client string }{
		{"direct", "", "127.0.0.1"},
		{"direct", "9.9.9.9", "127.0.0.1"},
		{"unix", "", "invalid IP"},
		{"unix", "9.9.9.9", "9.9.9.9"},
		{"unix", "6.6.6.6, 127.0.0.1", "127.0.0.1"},
		{"proxied", "", "127.0.0.1"},
		{"proxied", "9.9.9.9", "9.9.9.9"},
		{"proxied", "6.6.6.6,9.9.9.9 ,127.0.0.7", "9.9.9.9"},
		{"proxied", "6.6.6.6\r\nX: 1\r\nx-forwarded-for: 9.9.9.9, 127.0.0.8\r\nX-Forwarded-For: 127.0.0.7", "9.9.9.9"},
		{"proxied", "127.0.0.5, 127.0.0.6", "127.0.0.5"},
		{"proxied", "6.6.6.6, unknown, 127.0.0.7", "127.0.0.7"},
		{"proxied", "6.6.6.6,", "127.0.0.1"},
		{"proxied", "9.9.9.9:80", "9.9.9.9"},
		{"proxied", "[2001:db8::1]:80", "2001:db8::1"},
		{"proxied", "2001:db8::1", "2001:db8::1"},
		{"proxied", "9.9.9.9, ::ffff:127.0.0.7, [::ffff:127.0.0.8]:80", "9.9.9.9"},
		{"proxied", "fe80::1%eth0", "fe80::1"},
		{"proxied", "[fe80::1%eth0]:80", "fe80::1"},
	} {
		head := "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
		if w.said != "" {
			head += "X-Forwarded-For: " + w.said + "\r\n"
		}
		c := dial(t, doors[w.door].address)
		io.WriteString(c, head+"\r\n")
		b, _ := io.ReadAll(c)
		if !strings.HasSuffix(string(b), "\r\n\r\n"+w.client) {
			t.Errorf("%s, %q: not %s: %q", w.door, w.said, w.client, b)
		}
	}
}
