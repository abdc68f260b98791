package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sealgate/sealgate"

// listed is what `go list -json` says of a package; test files do not count.
type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

func list(t *testing.T, pattern string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", pattern)
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		all = append(all, p)
	}
}

// within tells whether path is prefix or below it.
func within(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func withinAny(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return within(path, prefix) })
}

// walls says which rooms alone may import a package or what is below it.
func walls() map[string][]string {
	return map[string][]string{
		"github.com/valyala/fasthttp":    {"relay"},
		"github.com/dgraph-io/badger":    {"storage"},
		"github.com/jackc/pgx":           {"relay/outbox/mastodondb"},
		"github.com/cisco/go-mls":        {"inbox/mls"},
		"github.com/go-fed/httpsig":      {"policy/signature"},
		"github.com/goccy/go-yaml":       {"configs", "policy/rules"},
		"cel.dev/cel-go":                 {"policy/rules"},
		"github.com/spf13/cobra":         {"cmd/sealgate"},
		"github.com/thomas-vilte/mls-go": {"cmd/demo"},
		"testing":                        {"inbox/inboxtest", "relay/outbox/outboxtest"},
		module + "/cmd/demo":             {"cmd/demo"},
		module + "/configs":              {"cmd/sealgate"},
		module + "/storage":              {"cmd/sealgate", "storage"},
		module + "/relay":                {"cmd/sealgate", "relay"},
		module + "/relay/outbox":         {"cmd/sealgate", "relay", "storage"}, // the queue it declares
		module + "/policy":               {"cmd", "relay", "policy", "storage"},
		module + "/inbox":                {"cmd", "relay", "inbox", "storage"},
		module + "/inbox/inboxtest":      {"relay/outbox/outboxtest"},
	}
}

// nearestWall is the longest of walls around a package, or "".
func nearestWall(imported string) string {
	nearest := ""
	for wall := range walls() {
		if within(imported, wall) && len(wall) > len(nearest) {
			nearest = wall
		}
	}
	return nearest
}

// TestWalls keeps docs/architecture.md true.
func TestWalls(t *testing.T) {
	stands := map[string]bool{}
	for _, p := range list(t, "./...") {
		room := strings.TrimPrefix(p.ImportPath, module+"/")
		for _, imported := range p.Imports {
			wall := nearestWall(imported)
			if wall == "" {
				continue
			}
			stands[wall] = true
			if rooms := walls()[wall]; !withinAny(room, rooms) {
				t.Errorf("%s imports %s, which only %v may", room, imported, rooms)
			}
		}
	}
	for wall, rooms := range walls() {
		if len(rooms) > 0 && !stands[wall] {
			t.Errorf("nobody imports %s: is its name still right?", wall)
		}
	}
}

// TestPureRooms: what decides about foreign bytes reaches neither network nor disk.
func TestPureRooms(t *testing.T) {
	forbidden := []string{"net", "os", "os/exec", "syscall", "unsafe", "plugin"}
	leaves := []string{module + "/policy/ratelimit", module + "/inbox/activity", module + "/authority"} // relay/splice spells names as the second
	for _, room := range []string{"authority", "inbox", "inbox/activity", "inbox/mls", "policy/signature", "policy/ratelimit", "policy/rules", "relay/splice"} {
		for _, p := range list(t, "./"+room) {
			for _, imported := range p.Imports {
				if slices.Contains(forbidden, imported) {
					t.Errorf("%s imports %s", room, imported)
				}
				if room != "inbox" && within(imported, module) && !slices.Contains(leaves, imported) {
					t.Errorf("%s is a leaf and imports %s", room, imported)
				}
			}
		}
	}
}

// TestGatewayCannotDecrypt: no MLS client, nothing of the demonstration and no
// test library is linked into the binary, and of the MLS library that is, only what verifies and hashes.
func TestGatewayCannotDecrypt(t *testing.T) {
	gateway := list(t, "./cmd/sealgate")
	if len(gateway) != 1 || len(gateway[0].Deps) < 100 {
		t.Fatalf("go list does not know what the gateway links: %d packages", len(gateway))
	}
	strangers := []string{
		"github.com/thomas-vilte/mls-go", module + "/cmd/demo", module + "/inbox/inboxtest", module + "/relay/outbox/outboxtest",
		"github.com/yaronf/httpsign", "github.com/letsencrypt/pebble", "pgregory.net/rapid", "testing",
	}
	for _, dep := range gateway[0].Deps {
		if withinAny(dep, strangers) {
			t.Errorf("the gateway links %s", dep)
		}
	}
	symbols, err := exec.CommandContext(t.Context(), "go", "tool", "nm", buildGateway(t)).Output()
	if err != nil {
		t.Fatal(err)
	}
	const mls, hpke = "github.com/cisco/go-mls.", "github.com/cisco/go-hpke."
	harmless := []string{"CipherSuite.Digest", "CipherSuite.newDigest", "SignatureScheme.Verify"}
	opens := regexp.MustCompile(`Open|Decrypt|Setup|Context`)
	found := 0
	for line := range strings.Lines(string(symbols)) {
		fields := strings.Fields(line)
		name := fields[len(fields)-1]
		if of, ok := strings.CutPrefix(name, mls); ok && slices.Contains(harmless, of) {
			found++
		} else if ok || strings.HasPrefix(name, hpke) && opens.MatchString(name) {
			t.Errorf("the gateway links %s", name)
		}
	}
	if found != len(harmless) {
		t.Errorf("%d of %q are linked: does this test still know the library?", found, harmless)
	}
}
