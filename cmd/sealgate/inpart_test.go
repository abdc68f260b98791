package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/relay"
)

// stock is nginx before an instance, in the shape of Mastodon's own file.
const stock = `
map $http_upgrade $connection_upgrade {
    default upgrade;
    ""      close;
}
upstream backend {
    server 127.0.0.1:3000 fail_timeout=0;
}
upstream streaming {
    server {streaming} fail_timeout=0;
}
proxy_cache_path {dir}/cache keys_zone=CACHE:1m;
server {
    listen 443 ssl http2;
    ssl_certificate     /etc/ssl/social.example.pem;
    ssl_certificate_key /etc/ssl/social.example.key;
    root /home/mastodon/live/public;
    client_max_body_size 99m;
    gzip on;
    gzip_proxied any;
    gzip_types application/json;
    proxy_set_header Host $http_host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_http_version 1.1;
    location / {
        try_files $uri @proxy;
    }
    location ^~ /api/v1/streaming {
        proxy_pass http://streaming;
        proxy_buffering off;
    }
    location @proxy {
        proxy_pass http://backend;
        proxy_cache CACHE;
        proxy_cache_valid 200 7d;
    }
}
`

// theirs are requests that the gateway must not see, and what the instance answers.
func theirs() map[string]int {
	return map[string]int{
		"GET /\nAccept: text/html":                                404, // the double has no start page
		"GET /@bob\nAccept: text/html,application/xhtml+xml,*/*":  200,
		"GET /@bob\nAccept: */*":                                  200,
		"GET /@bob":                                               200,
		"GET /@bob/115\nAccept: application/activity+json":        404,
		"GET /users/bob/statuses/1\nAccept: application/ld+json":  404,
		"GET /users/bob/followers\nAccept: application/json":      404,
		"GET /api/v1/instance":                                    200,
		"GET /.well-known/nodeinfo":                               200,
		"GET /oauth/token/info\nAuthorization: Bearer TOKEN":      200,
		"POST /api/v1/statuses\n\nstatus=hello":                   404,
		"OPTIONS /api/v1/statuses\nOrigin: https://a.example":     404,
		"DELETE /api/v1/statuses/1\nAuthorization: Bearer TOKEN":  404,
		"GET /file.txt":                                           200,
		"GET /api/v1/accounts/lookup?acct=bob&x=/users/bob/inbox": 200,
	}
}

// ours are requests that the gateway answers otherwise than the instance would.
func ours() []string {
	list := []string{
		"GET /e2ee/actor",
		"GET /e2ee/actor\nSealgate-Seen: ?",
		"HEAD /e2ee/actor",
		"GET /e2ee/policy",
		"GET /e2ee/users/bob/keyPackages",
		"GET /e2ee/users/bob/keyPackages?history=1\nAuthorization: Bearer TOKEN",
		"GET /e2ee/users/bob/keyPackages/none",
		"GET /e2ee/users/bob/messages",
		"GET /e2ee/users/bob/messages\nAuthorization: Bearer TOKEN",
		"GET /e2ee/users/bob/messages?item=none\nAuthorization: Bearer TOKEN",
		"DELETE /e2ee/users/bob/messages?through=none\nAuthorization: Bearer TOKEN",
		"OPTIONS /e2ee/users/bob/messages\nOrigin: https://client.example",
		"GET /e2ee/users/bob/events",
		"GET /e2ee/users/bob/push\nAuthorization: Bearer TOKEN",
		"GET /e2ee/users/bob/devices\nAuthorization: Bearer TOKEN",
		"GET /e2ee/activities/none",
		"GET /e2ee/objects/none",
		"GET /e2ee/conversations/none",
		"GET /e2ee/requests\nAuthorization: Bearer TOKEN",
		"POST /e2ee/requests/none\nAuthorization: Bearer TOKEN\nContent-Type: application/x-www-form-urlencoded\n\naction=drop",
		"POST /e2ee/proxy\n\nid=https://far.example/",
		"GET /e2ee/oauth/authorize?client_id=x",
		"GET /e2ee/oauth/callback",
		"POST /e2ee/oauth/token\n\n",
		"POST /e2ee/oauth/revoke\n\n",
		"DELETE /e2ee/session",
		"GET /.well-known/oauth-authorization-server/e2ee/oauth",
		"GET /.well-known/webfinger?resource=acct:sealgate.HOST@HOST",
		"GET /oauth/authorize?client_id=https://127.0.0.1:1/client",
		"POST /oauth/token\nContent-Type: application/x-www-form-urlencoded\n\nclient_id=https://client.example/",
		"POST /oauth/revoke\nContent-Type: application/x-www-form-urlencoded\n\ntoken=sga_0123456789012345678901234567890123456789012",
		"GET /ap/users/ID/inbox\nAuthorization: Bearer TOKEN",
		"OPTIONS /ap/users/ID\nOrigin: https://client.example\nAccess-Control-Request-Method: GET",
		"OPTIONS /ap/users/ID/inbox\nOrigin: https://client.example\nAccess-Control-Request-Method: GET",
		"OPTIONS /ap/users/ID/outbox\nOrigin: https://client.example\nAccess-Control-Request-Method: POST",
		"POST /ap/users/ID/outbox\n\n{}",
		"POST /users/bob/outbox/\n\n{}",
	}
	for _, inbox := range []string{
		"/inbox", "/shared-inbox", "/actor/inbox", "/users/bob/inbox", "/ap/users/ID/inbox", "/inbox/", "/Inbox.json", "//inbox?a=b", "/users/%62ob/%69nbox",
	} {
		list = append(list, "POST "+inbox+"\nContent-Encoding: gzip\n\n{}")
	}
	for _, actor := range []string{"/users/bob", "/ap/users/ID", "/@bob"} {
		for _, kind := range []string{
			"application/activity+json", `application/ld+json; profile="https://www.w3.org/ns/activitystreams"`,
			"application/json", "application/activity+json, application/ld+json;q=0.9, text/html;q=0.1",
		} {
			list = append(list, "GET "+actor+"\nAccept: "+kind)
		}
	}
	return append(list, "GET /@bob.json", "GET /%40bob\nAccept: application/activity+json", "GET /users/bob.json", "GET /ap/users/ID.json", "HEAD /@bob\nAccept: application/activity+json")
}

// TestNginxInPart follows "In part" of docs/operations.md: nginx sends what configs/nginx-http.conf lists through the gateway, and
// nothing else. Without any line of that list something is answered otherwise, and `sealgate check` says so.
func TestNginxInPart(t *testing.T) {
	k := &kitchen{dir: t.TempDir(), binary: buildGateway(t), public: freeAddress(t), gate: freeAddress(t)}
	k.pool = selfSigned(t, k.dir)
	web, streaming := k.mastodon(t)
	p := &part{kitchen: k, direct: k.gate, web: web, token: k.sample.Token(k.bob, "read", "write")}
	k.gate = "unix:" + k.path("gate")
	text := k.adapt(p.recipe(t, streaming), web)
	t.Run("without the gateway", func(t *testing.T) {
		p.nginx(t, text)
		p.leavesTheRest(t)
	})
	k.gate = fmt.Sprintf("[%s, %q]", p.direct, k.gate)
	k.gateway(t, web, streaming, false, "policy: {preset: open}\n")
	t.Run("whole", func(t *testing.T) {
		p.nginx(t, text)
		k.try(t, true)
		p.differ(t, 3, t.Errorf)
		k.echo(t, k.from(t, 2), "/echo//%69nbox?a=%2F&b", []byte(`{"type":"Note"}`))
		p.takes(t)
	})
	n := byte(10)
	for line := range strings.Lines(text) {
		if !strings.Contains(line, " sealgate;") && !strings.Contains(line, " $sealgate_if_json;") {
			continue
		}
		n++
		t.Run("without "+strings.Fields(line)[0], func(t *testing.T) {
			p.nginx(t, strings.Replace(text, line, "", 1))
			differ := false
			p.differ(t, n, func(string, ...any) { differ = true })
			out, err := k.check(t)
			if !differ || err == nil || !strings.Contains(string(out), "do not reach this gateway") && !strings.Contains(string(out), "not answered by this gateway") {
				t.Errorf("something is answered otherwise: %v; check: %v\n%s", differ, err, out)
			}
		})
	}
	if n < 19 {
		t.Errorf("%d lines were left out", n-10)
	}
}

// part is an nginx that sends only part through the gateway.
type part struct {
	*kitchen

	direct, web string // addresses: of the gateway, of the instance
	token       string
}

// recipe is stock with what docs/operations.md and the files in configs/ put into it.
func (p *part) recipe(t *testing.T, streaming string) string {
	t.Helper()
	outside, err := os.ReadFile("../../configs/nginx-http.conf")
	if err != nil {
		t.Fatal(err)
	}
	inside, err := filepath.Abs("../../configs/nginx-server.conf")
	if err != nil {
		t.Fatal(err)
	}
	site := strings.Replace(stock, "    location / {\n        try_files $uri @proxy;\n    }\n", recipe(t, "# nginx in part: the same file"), 1)
	site = strings.NewReplacer("{dir}", p.dir, "{streaming}", streaming, "snippets/sealgate.conf", inside).Replace(site)
	return "# nginx\n" + string(outside) + recipe(t, "# nginx in part: /etc/nginx") + site
}

// nginx runs until the test ends.
func (p *part) nginx(t *testing.T, text string) {
	t.Helper()
	p.proxy(t, []string{"nginx", "-p", p.dir, "-c"}, text)
	p.await(t, p.from(t, 2), "/file.txt")
}

// leavesTheRest looks, while there is no gateway, that everything of theirs is answered, and nothing of ours.
func (p *part) leavesTheRest(t *testing.T) {
	t.Helper()
	client := p.from(t, 2)
	for request, want := range theirs() {
		if got := p.answer(t, client, "https://"+p.public, request); got.status != want {
			t.Errorf("%s: %+v, want %d", request, got, want)
		}
	}
	for _, request := range ours() {
		if got := p.answer(t, client, "https://"+p.public, request); got.status != http.StatusBadGateway {
			t.Errorf("%s: %+v, want 502", request, got)
		}
	}
}

// differ says what nginx has of ours answered otherwise than the gateway does. All of it comes from 127.0.0.n.
func (p *part) differ(t *testing.T, n byte, say func(format string, args ...any)) {
	t.Helper()
	client, near := p.from(t, n), p.from(t, 1)
	for _, request := range ours() {
		through := p.answer(t, client, "https://"+p.public, request)
		forwarded := fmt.Sprintf("\nX-Forwarded-For: 127.0.0.%[1]d\nX-Real-Ip: 127.0.0.%[1]d\nX-Forwarded-Proto: https", n)
		line, rest, _ := strings.Cut(request, "\n")
		forwarded = line + forwarded + "\n" + rest
		direct, instead := p.answer(t, near, "http://"+p.direct, forwarded), p.answer(t, near, "http://"+p.web, forwarded)
		if !through.is(direct) {
			say("%s\nthrough nginx: %+v\nthe gateway: %+v", request, through, direct)
		}
		if direct.is(instead) {
			t.Errorf("%s: the instance answers the same: %+v", request, direct)
		}
	}
}

// reply is an answer without what a proxy may change, and without cookies, which are never the same.
type reply struct {
	status int
	header http.Header
	body   string
}

func (a reply) is(b reply) bool {
	return a.status == b.status && a.body == b.body && maps.EqualFunc(a.header, b.header, slices.Equal)
}

// answer sends "METHOD TARGET", lines of header fields, and behind an empty line a body.
func (p *part) answer(t *testing.T, client *http.Client, base, request string) reply {
	t.Helper()
	request = strings.NewReplacer("TOKEN", p.token, "HOST", p.public, "ID", p.bob.Account).Replace(request)
	line, rest, _ := strings.Cut(request, "\n")
	fields, body, _ := strings.Cut("\n"+rest, "\n\n")
	method, target, _ := strings.Cut(line, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, base+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = p.public
	for field := range strings.Lines(strings.TrimPrefix(fields, "\n")) {
		name, value, _ := strings.Cut(strings.TrimSpace(field), ": ")
		req.Header.Set(name, value)
	}
	resp, err := client.Transport.RoundTrip(req) // follows nothing
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: %v", request, err)
	}
	for _, name := range []string{"Date", "Server", "Connection", "Content-Length", "Set-Cookie"} {
		resp.Header.Del(name)
	}
	return reply{resp.StatusCode, resp.Header, string(got)}
}

// takes has signed messages come to the personal and to the shared inbox while bob listens, and a note, which is the instance's.
func (p *part) takes(t *testing.T) {
	t.Helper()
	client := p.from(t, 4)
	if err := os.RemoveAll(p.path("b")); err != nil { // where nginx writes bodies that it does not keep in memory
		t.Fatal(err)
	}
	s := settings{file: p.path("sealgate.yaml")}
	config, err := s.load()
	if err != nil {
		t.Fatal(err)
	}
	c := newChecker(config)
	c.public = client
	events := p.listen(t, client)
	for i, inbox := range []string{p.bob.Actor + "/inbox", c.base + "/inbox"} {
		id := fmt.Sprintf("%s/e2ee/activities/in-part-%d", c.base, i)
		message, err := testActivity(id, relay.OwnActor(c.base), p.bob.Actor)
		if err != nil {
			t.Fatal(err)
		}
		message = append(message, strings.Repeat(" ", 100<<10)...)
		p.post(t, c, inbox, message)
		if event := next(t, events); !strings.Contains(event, id) {
			t.Errorf("%s: bob is told %s", inbox, event)
		}
		note := fmt.Appendf(nil, `{"type":"Create", "id":"%s", "object":{"type":"Note"}}`, id)
		p.post(t, c, inbox, note)
		if !slices.ContainsFunc(p.sample.Received(), func(r instance.Received) bool { return string(r.Body) == string(note) }) {
			t.Errorf("%s: the note did not reach the instance", inbox)
		}
	}
	if n := len(p.sample.Received()); n != 2 {
		t.Errorf("the instance received %d activities, want the two notes", n)
	}
}

func (p *part) post(t *testing.T, c *checker, inbox string, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, inbox, strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.exchange(req, body); err != nil {
		t.Error(err)
	}
}

// listen opens bob's event stream, of which the first block is there.
func (p *part) listen(t *testing.T, client *http.Client) *textproto.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+p.public+"/e2ee/users/bob/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	events := textproto.NewReader(bufio.NewReader(resp.Body))
	if block := next(t, events); !strings.HasPrefix(block, "id: ") {
		t.Errorf("%d: the stream begins with %q", resp.StatusCode, block)
	}
	return events
}

// next is the next block of an event stream.
func next(t *testing.T, events *textproto.Reader) string {
	t.Helper()
	var block []string
	for {
		line, err := events.ReadLine()
		if err != nil {
			t.Fatal(err)
		}
		if line == "" && block != nil {
			return strings.Join(block, "\n")
		}
		block = append(block, line)
	}
}
