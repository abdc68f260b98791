package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
)

// recipes are those of docs/operations.md, by the first words of their text, with how to run what they are for and
// whether it is the gateway that ends TLS. Without a program they are not tried here.
var recipes = []struct {
	begin   string
	program []string
	edge    bool   // the gateway is
	more    string // of the gateway's configuration
}{
	{"# nginx in front", []string{"nginx", "-p", "{dir}", "-c"}, false, ""},
	{"# Caddy in front", []string{os.Getenv("CADDY"), "run", "--adapter", "caddyfile", "--config"}, false, ""},
	{"# HAProxy in front:", []string{"haproxy", "-f"}, false, ""},
	{"# HAProxy in front, TLS", []string{"haproxy", "-f"}, true, "proxy_protocol: trusted\n"},
	{"# nginx behind", []string{"nginx", "-p", "{dir}", "-c"}, true, ""},
	{"# Caddy behind", []string{os.Getenv("CADDY"), "run", "--adapter", "caddyfile", "--config"}, true, ""},
	{"# HAProxy behind", []string{"haproxy", "-f"}, true, ""},
}

// TestRecipes follows the recipes of docs/operations.md with the real proxies: only ports and paths are changed.
func TestRecipes(t *testing.T) {
	binary := buildGateway(t)
	for _, r := range recipes {
		if r.program[0] == "" {
			continue // Caddy takes minutes to build: .ci/tools.sh caddy
		}
		t.Run(strings.Trim(r.begin, "# :"), func(t *testing.T) {
			k := &kitchen{dir: t.TempDir(), binary: binary, public: freeAddress(t), gate: freeAddress(t), inner: freeAddress(t)}
			k.pool = selfSigned(t, k.dir)
			k.join(t)
			web, streaming := k.mastodon(t)
			behind := strings.Contains(r.begin, "behind")
			if behind {
				k.gate = k.public
			}
			k.proxy(t, r.program, k.adapt(recipe(t, r.begin), web))
			if behind {
				web = k.inner
			}
			k.gateway(t, web, streaming, r.edge, r.more)
			k.try(t, behind && !strings.Contains(r.begin, "HAProxy"))
		})
	}
}

// recipe returns the block of docs/operations.md that begins so.
func recipe(t *testing.T, begin string) string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(doc), "\n"+begin)
	text, _, _ := strings.Cut(after, "\n```")
	if !found {
		t.Fatalf("docs/operations.md has no %q", begin)
	}
	return begin + text + "\n"
}

// kitchen is where one recipe is tried.
type kitchen struct {
	dir, binary         string
	public, gate, inner string // addresses: the public one, the gateway's, the one of a proxy behind it
	pool                *x509.CertPool
	sample              *instance.Instance
	bob                 *instance.Person
}

func (k *kitchen) path(name string) string { return filepath.Join(k.dir, name) }

// join writes chain and key into one file, as HAProxy wants them.
func (k *kitchen) join(t *testing.T) {
	t.Helper()
	cert, err := os.ReadFile(k.path("cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(k.path("key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.path("both.pem"), append(cert, key...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// adapt puts this test's ports and paths into a recipe, and around it what a distribution's files have.
func (k *kitchen) adapt(text, web string) string {
	_, port, _ := net.SplitHostPort(k.public)
	_, inner, _ := net.SplitHostPort(k.inner)
	text = strings.NewReplacer(
		"listen 443", "listen "+k.public, "bind :443", "bind "+k.public, "127.0.0.1:8420", k.gate,
		"127.0.0.1:8080", k.inner, "http://:8080", "http://:"+inner, "127.0.0.1:3000", web,
		"/etc/ssl/social.example.both.pem", k.path("both.pem"), "/etc/ssl/social.example.pem", k.path("cert.pem"),
		"/etc/ssl/social.example.key", k.path("key.pem"), "/home/mastodon/live/public", k.path("public"),
		"\nsocial.example {", "\n{\n\tadmin off\n\tauto_https disable_redirects\n}\nhttps://127.0.0.1:"+port+" {\n\ttls "+k.path("cert.pem")+" "+k.path("key.pem"),
		"\n{\n\tservers", "\n{\n\tadmin off\n\tservers",
	).Replace(text)
	if strings.HasPrefix(text, "# nginx") {
		return fmt.Sprintf("user root; daemon off; pid %[1]s/pid; error_log stderr; events {}\nhttp { access_log off; client_body_temp_path %[1]s/b; "+
			"proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n%[2]s}\n", k.dir, text)
	}
	return text
}

// proxy runs a program with the configuration text until the test ends.
func (k *kitchen) proxy(t *testing.T, program []string, text string) {
	t.Helper()
	public, file := k.path("public"), k.path("recipe")
	if err := os.MkdirAll(public, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(public, "file.txt"), []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string(nil), program[1:]...)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "{dir}", k.dir)
	}
	k.run(t, exec.CommandContext(context.WithoutCancel(t.Context()), program[0], append(args, file)...))
}

// run starts cmd and ends it with the test; what it said is told when the test failed.
func (k *kitchen) run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	said := &bytes.Buffer{}
	cmd.Stderr, cmd.Env = said, append(os.Environ(), "SSL_CERT_FILE="+k.path("cert.pem"), "HOME="+k.dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", cmd.Path, said)
		}
	})
}

// gateway runs the gateway before web.
func (k *kitchen) gateway(t *testing.T, web, streaming string, edge bool, more string) {
	t.Helper()
	if edge {
		more += "tls: {mode: files, certificate: cert.pem, key: key.pem}\n"
	}
	config := fmt.Sprintf("domain: %s\nlisten: %s\nupstream: {web: \"http://%s\", streaming: \"http://%s\"}\n"+
		"federation: {allow_networks: [127.0.0.0/8]}\nshutdown_timeout: 1s\ntrusted_proxies: [127.0.0.1/32]\nadmin: {listen: %q}\n%s", k.public, k.gate, web, streaming, freeAddress(t), more)
	if err := os.WriteFile(k.path("sealgate.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	k.run(t, exec.CommandContext(context.WithoutCancel(t.Context()), k.binary, "serve", "--config", k.path("sealgate.yaml")))
}

// mastodon is an instance behind TLS with one person, and its streaming server.
func (k *kitchen) mastodon(t *testing.T) (web, streaming string) {
	t.Helper()
	k.sample = instance.New(instance.Options{Origin: "https://" + k.public, IDs: instance.Numeric, Edge: instance.TLSEdge})
	var err error
	if k.bob, err = k.sample.AddPerson("bob"); err != nil {
		t.Fatal(err)
	}
	puma := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/echo") {
			k.sample.ServeHTTP(w, r)
			return
		}
		sum, h := sha256.New(), r.Header
		n, _ := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%s %s %s %x %s %s %s\n", r.Method, r.Host, r.RequestURI, sum.Sum(nil), h["X-Forwarded-Proto"], h["X-Real-Ip"], h["X-Forwarded-For"])
		_, _ = io.CopyN(w, zeros{}, n)
	}))
	t.Cleanup(puma.Close)
	node := httptest.NewServer(http.HandlerFunc(stream))
	t.Cleanup(node.Close)
	return puma.Listener.Addr().String(), node.Listener.Addr().String()
}

// stream echoes over a WebSocket, or sends one event at once and one when the client is gone.
func stream(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: 1\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return
	}
	echoSocket(w)
}

// try does through the public address what people, clients and peers do. files: a proxy serves public/.
func (k *kitchen) try(t *testing.T, files bool) {
	t.Helper()
	client := k.from(t, 2)
	k.await(t, client, "/e2ee/actor")
	for _, args := range [][]string{nil, {"--send", "bob"}} {
		if out, err := k.check(t, args...); err != nil {
			t.Errorf("check %v: %v\n%s", args, err, out)
		}
	}
	k.echo(t, client, "/echo?a=%2F&b", bytes.Repeat([]byte("5 MiB"), 1<<20))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+k.public+"/file.txt", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, client, req); (got == "a file") != files {
		t.Errorf("the file is %q", got)
	}
	k.live(t)
}

// from is a client at 127.0.0.n, which is not the proxies' address.
func (k *kitchen) from(t *testing.T, n byte) *http.Client {
	t.Helper()
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, n)}}
	client := &http.Client{Transport: &http.Transport{
		DialContext: d.DialContext, TLSClientConfig: &tls.Config{RootCAs: k.pool}, DisableCompression: true,
	}}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// check runs `sealgate check`.
func (k *kitchen) check(t *testing.T, args ...string) (out []byte, err error) {
	t.Helper()
	check := exec.CommandContext(t.Context(), k.binary, append([]string{"check", "--config", k.path("sealgate.yaml")}, args...)...)
	check.Env = append(os.Environ(), "SSL_CERT_FILE="+k.path("cert.pem"))
	return check.CombinedOutput()
}

// echo posts as 127.0.0.2, who lies about it, and looks what the instance got and how much came back.
func (k *kitchen) echo(t *testing.T, client *http.Client, target string, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+k.public+target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"X-Forwarded-For": {"6.6.6.6"}, "X-Forwarded-Proto": {"http"}, "X-Real-Ip": {"6.6.6.6"}}
	head, rest, _ := strings.Cut(read(t, client, req), "\n")
	want := fmt.Sprintf("POST %s %s %x [https] [127.0.0.2] [127.0.0.2", k.public, target, sha256.Sum256(body))
	if !strings.HasPrefix(head, want) || strings.Contains(head, "6.6.6.6") || len(rest) != len(body) {
		t.Errorf("got  %q and %d bytes\nwant %q", head, len(rest), want)
	}
}

// await returns when path is answered with 200 through the public address.
func (k *kitchen) await(t *testing.T, client *http.Client, path string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := client.Get("https://" + k.public + path)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s is not reached: %v, %v", path, resp, err)
		}
	}
}

func read(t *testing.T, client *http.Client, req *http.Request) string {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// handshake is what a browser sends for a WebSocket (RFC 6455 §1.3); HAProxy minds.
const handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// live opens an event stream and a WebSocket at the streaming server; both answer while they are open.
func (k *kitchen) live(t *testing.T) {
	t.Helper()
	for upgrade, want := range map[string]string{"": "data: 1\n", handshake: "ping\n"} {
		c, err := tls.Dial("tcp", k.public, &tls.Config{RootCAs: k.pool, NextProtos: []string{"http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // it fails only when closed
		fmt.Fprintf(c, "GET /api/v1/streaming/user HTTP/1.1\r\nHost: %s\r\n%s\r\n", k.public, upgrade)
		r := bufio.NewReader(c)
		resp, err := http.ReadResponse(r, nil) //nolint:bodyclose // it has no end; c has
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(resp.Body)
		if resp.StatusCode == http.StatusSwitchingProtocols {
			fmt.Fprint(c, "ping\n")
			lines = r
		}
		if line, err := lines.ReadString('\n'); line != want {
			t.Errorf("%d: got %q, %v; want %q", resp.StatusCode, line, err, want)
		}
	}
}
