package peers_test

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const gatewayConfig = `
domain: %[1]s
listen: %[2]s
upstream: {web: "http://%[3]s", software: %[4]s}
policy: {file: ./policy.yaml}
storage: {path: ./store, encryption_key: "file:./store.key"}
federation: {allow_plain_http: true, allow_networks: ["127.0.0.0/8"]}
limits: {failed_signatures: 1000/min} # the tampered deliveries here share one address
admin: {listen: %[5]s, socket: ./admin.sock}
%[6]s
`

// lenient takes invitations made with a package that was never published here, which every preset refuses: one
// with the name that core-crypto gives cannot be published.
const lenient = `
version: 1
rules: []
`

// setup says which gateway to run.
type setup struct {
	binary   string
	domain   string // what its people's ids begin with
	listen   string // empty: the domain
	upstream string
	software string
	keys     string // a directory of people's keys; empty: it only receives
}

// gateway is one sealgate that runs, or was killed and can be started again.
type gateway struct {
	domain string
	base   string
	admin  string
	log    *output

	binary, config string
	cmd            *exec.Cmd
	exited         chan error
}

// startGateway serves domain in front of snac.
func startGateway(t *testing.T, binary, domain, upstream string) *gateway {
	t.Helper()
	return launch(t, setup{binary: binary, domain: domain, upstream: upstream, software: "snac"})
}

// launch runs a gateway until the test ends; it must then stop by SIGTERM, cleanly.
func launch(t *testing.T, s setup) *gateway {
	t.Helper()
	g := &gateway{
		domain: s.domain, base: "http://" + s.domain, admin: "http://" + freeAddress(t), log: new(output),
		binary: s.binary, config: filepath.Join(t.TempDir(), "sealgate.yaml"),
	}
	signing := ""
	if s.keys != "" {
		signing = fmt.Sprintf("signing: {source: file, file: %q}", s.keys)
	}
	text := fmt.Sprintf(gatewayConfig, s.domain, cmp.Or(s.listen, s.domain), s.upstream, s.software, g.admin[len("http://"):], signing)
	if err := os.WriteFile(g.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(g.config), "policy.yaml"), []byte(lenient), 0o600); err != nil {
		t.Fatal(err)
	}
	showOnFailure(t, "sealgate", g.log)
	g.start(t)
	t.Cleanup(func() { g.stop(t) })
	return g
}

// start runs it and waits until it is ready.
func (g *gateway) start(t *testing.T) {
	t.Helper()
	g.cmd = exec.Command(g.binary, "serve", "--config", g.config)
	g.cmd.Stdout, g.cmd.Stderr = g.log, g.log
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	cmd, exited := g.cmd, make(chan error, 1)
	g.exited = exited
	go func() { exited <- cmd.Wait() }()
	eventually(t, "the gateway to be ready", func() bool {
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("sealgate serve ended: %v\n%s", err, g.log.String())
		default:
		}
		return g.ready(t)
	})
}

// kill ends it as kill -9 does.
func (g *gateway) kill(t *testing.T) {
	t.Helper()
	if err := g.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-g.exited
	g.exited <- nil // gone, and not badly
}

func (g *gateway) ready(t *testing.T) bool {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.admin+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// serveInstance serves a double of Mastodon until the test ends, and gives its address.
func serveInstance(t *testing.T, double http.Handler) string {
	t.Helper()
	server := httptest.NewServer(double)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func (g *gateway) stop(t *testing.T) {
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return // it ended before, and the test knows
	}
	select {
	case err := <-g.exited:
		if err != nil {
			t.Errorf("sealgate after SIGTERM: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("sealgate did not stop within 30 s of SIGTERM")
		g.cmd.Process.Kill()
		<-g.exited
	}
}
