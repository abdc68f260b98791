package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
)

// watcher calls seen once what is written to it says want.
type watcher struct {
	written bytes.Buffer
	want    string
	seen    func()
}

// Write implements io.Writer.
func (w *watcher) Write(p []byte) (int, error) {
	n, err := w.written.Write(p)
	if strings.Contains(w.written.String(), w.want) {
		w.seen()
	}
	return n, err
}

// TestLeaveWithAQueue: the command waits for what is queued and may be ended, which is no failure of the gateway's; where none
// runs nothing would ever be delivered, so it says so instead of waiting.
func TestLeaveWithAQueue(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "none")
	bob := sendingHere(t, "bob", instance.OpenFetch)
	alice := sendingBy(t, "alice", instance.OpenFetch, fmt.Sprintf("{source: mastodon-sidekiq, redis: %q}", "unix://sealgate@"+nowhere))
	if resp, body := alice.send(t, 1, bob.bob.Actor); resp.StatusCode != http.StatusCreated { //nolint:bodyclose // send closes it
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	out, errs := &watcher{want: "1 deliveries are queued", seen: stop}, &bytes.Buffer{}
	code := execute(ctx, []string{"leave", "--config", alice.file}, out, errs)
	if !strings.Contains(out.written.String(), out.want) {
		t.Errorf("it says %q", &out.written)
	}
	if said := errs.String(); code != exitFailure || !strings.HasPrefix(said, "sealgate: leave: interrupted; ") || !strings.Contains(said, "--undo") {
		t.Errorf("interrupted: %d %s", code, said)
	}
	if _, said, _ := alice.command(t, "check"); !strings.Contains(said, "no messages are taken since sealgate leave") {
		t.Errorf("it leaves no more: %s", said)
	}
	alice.end(t)
	if log := alice.log.String(); strings.Contains(log, "command failed") || !strings.Contains(log, "command was given up") {
		t.Error(log)
	}
	if code, _, said := alice.command(t, "leave"); code != exitFailure || !strings.Contains(said, "1 deliveries are queued") || !strings.Contains(said, "sealgate serve") {
		t.Errorf("at rest: %d %s", code, said)
	}
	alice.succeeds(t, "messages are taken again", "leave", "--undo")
}
