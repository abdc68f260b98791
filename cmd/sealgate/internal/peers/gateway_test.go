package peers_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const gatewayConfig = `
domain: %[1]s
listen: %[1]s
upstream: {web: "http://%[2]s", software: snac}
storage: {path: ./store, encryption_key: "file:./store.key"}
federation: {allow_plain_http: true, allow_networks: ["127.0.0.0/8"]}
limits: {failed_signatures: 1000/min} # the tampered deliveries here share one address
admin: {listen: %[3]s, socket: ./admin.sock}
`

// gateway is one running sealgate.
type gateway struct {
	domain string
	base   string
	admin  string
	log    *output
}

// startGateway serves domain in front of the upstream until the test ends; it
// must then stop by SIGTERM, cleanly.
func startGateway(t *testing.T, binary, domain, upstream string) *gateway {
	t.Helper()
	g := &gateway{domain: domain, base: "http://" + domain, admin: "http://" + freeAddress(t), log: new(output)}
	config := filepath.Join(t.TempDir(), "sealgate.yaml")
	text := fmt.Sprintf(gatewayConfig, domain, upstream, g.admin[len("http://"):])
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--config", config)
	cmd.Stdout, cmd.Stderr = g.log, g.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	showOnFailure(t, "sealgate", g.log)
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() { stopGateway(t, cmd, exited) })
	eventually(t, "the gateway to be ready", func() bool {
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("sealgate serve ended: %v\n%s", err, g.log.String())
		default:
		}
		return g.ready(t)
	})
	return g
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

func stopGateway(t *testing.T, cmd *exec.Cmd, exited <-chan error) {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return // it ended before, and the test knows
	}
	select {
	case err := <-exited:
		if err != nil {
			t.Errorf("sealgate after SIGTERM: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("sealgate did not stop within 30 s of SIGTERM")
		cmd.Process.Kill()
		<-exited
	}
}
