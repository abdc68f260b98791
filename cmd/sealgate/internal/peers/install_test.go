package peers_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	rootDir    = "../../../.."
	projectDir = "../../testdata/peers"
)

// requirePeers fails, and says how to cure it, when .ci/peers.sh has not run.
func requirePeers(t *testing.T) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(rootDir, ".ci", "peers.sh"), "--check").CombinedOutput()
	if err != nil {
		t.Fatalf("the real peers are not installed (run .ci/peers.sh, or go test -short): %s", out)
	}
	if _, err := os.Stat(filepath.Join(projectDir, "node_modules", "ts-mls")); err != nil {
		t.Fatalf("the npm peers are not linked (run .ci/peers.sh): %v", err)
	}
}

// snacPath is where .ci/peers.sh put snac.
func snacPath(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(rootDir, ".ci", "peers.sh"), "--snac").Output()
	if err != nil {
		t.Fatalf("ask .ci/peers.sh for snac: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// buildGateway builds cmd/sealgate as it is in the working tree, where the next test finds it built.
func buildGateway(ctx context.Context, t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(rootDir, "bin", "peers", "sealgate"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "../..").CombinedOutput()
	if err != nil {
		t.Fatalf("build cmd/sealgate: %v\n%s", err, out)
	}
	return path
}
