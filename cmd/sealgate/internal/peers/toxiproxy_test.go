package peers_test

import (
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// toxiproxy spoils connections; it ends with the test.
type toxiproxy struct{ api string }

func startToxiproxy(t *testing.T) *toxiproxy {
	t.Helper()
	path, err := exec.CommandContext(t.Context(), filepath.Join(rootDir, ".ci", "tools.sh"), "toxiproxy").Output()
	if err != nil {
		t.Fatalf("toxiproxy: %v", err)
	}
	address := freeAddress(t)
	p := &toxiproxy{api: "http://" + address}
	cmd := exec.CommandContext(t.Context(), strings.TrimSpace(string(path)), "-host", "127.0.0.1", "-port", portOf(t, address))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Wait() }) // killed with the test's context
	eventually(t, "toxiproxy to listen", func() bool {
		answer, err := http.Get(p.api + "/version")
		if err == nil {
			answer.Body.Close()
		}
		return err == nil
	})
	return p
}

func (p *toxiproxy) tell(t *testing.T, path, body string) {
	t.Helper()
	r := request(t, http.MethodPost, p.api+path, strings.NewReader(body))
	if answer := do(t, r, ""); answer.status/100 != 2 {
		t.Fatalf("toxiproxy: %s: %d %s", path, answer.status, answer.body)
	}
}

// before puts a proxy called name at address before upstream.
func (p *toxiproxy) before(t *testing.T, name, address, upstream string) {
	t.Helper()
	p.tell(t, "/proxies", fmt.Sprintf(`{"name":%q,"listen":%q,"upstream":%q,"enabled":true}`, name, address, upstream))
}

// heal takes every fault away.
func (p *toxiproxy) heal(t *testing.T) {
	t.Helper()
	p.tell(t, "/reset", "")
}
