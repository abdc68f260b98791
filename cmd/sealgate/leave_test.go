package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/storage"
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
	again := &watcher{want: "1 deliveries are queued", seen: sync.OnceFunc(func() { alice.succeeds(t, "messages are taken again", "leave", "--undo") })}
	if code := execute(t.Context(), []string{"leave", "--config", alice.file}, again, errs); code != exitFailure || strings.Contains(again.written.String(), "what stays behind") {
		t.Errorf("taken back: %d %s%s", code, &again.written, errs)
	}
	alice.end(t)
	if log := alice.log.String(); strings.Count(log, "command failed") != 1 || !strings.Contains(log, errTakenBack.Error()) || !strings.Contains(log, "command was given up") {
		t.Error(log)
	}
	if code, _, said := alice.command(t, "leave"); code != exitFailure || !strings.Contains(said, "1 deliveries are queued") || !strings.Contains(said, "sealgate serve") {
		t.Errorf("at rest: %d %s", code, said)
	}
	alice.succeeds(t, "messages are taken again", "leave", "--undo")
}

// TestLeaveThatIsNotKept: what the store has not kept the gateway does not go by, in both directions.
func TestLeaveThatIsNotKept(t *testing.T) {
	s, err := storage.Open(storage.Options{Path: t.TempDir(), Key: make([]byte, storage.KeySize), Retention: time.Hour, Quota: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	g := &gateway{store: s}
	for _, args := range []url.Values{{}, {"undo": {"yes"}}} {
		before := args.Has("undo")
		g.leaving.Store(before)
		var out bytes.Buffer
		if err := g.leave(t.Context(), args, &out); err == nil || out.Len() > 0 || g.leaving.Load() != before {
			t.Errorf("%v: %v, it says %q and leaves: %v", args, err, &out, g.leaving.Load())
		}
	}
}
