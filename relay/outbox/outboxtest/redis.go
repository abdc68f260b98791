package outboxtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Redis starts a Redis on a unix socket. It ends with the test, or when stop is called.
func Redis(t *testing.T) (socket string, stop func()) {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") //nolint:usetesting // a socket path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	cmd := exec.CommandContext(t.Context(), "redis-server", "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start Redis: %v (run .ci/peers.sh)", err)
	}
	stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	t.Cleanup(stop)
	tick, end := time.NewTicker(10*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for exec.CommandContext(t.Context(), "redis-cli", "-e", "-s", socket, "ping").Run() != nil {
		select {
		case <-tick.C:
		case <-end:
			t.Fatal("Redis does not answer")
		}
	}
	return socket, stop
}
