package main

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKillGateway kills the whole gateway again and again while people write to bob, alice sends, bob reads and
// inviters claim. All that was acknowledged is there exactly once, in order, and is delivered.
func TestKillGateway(t *testing.T) {
	kills := 24
	if soaking() {
		kills = 300
	}
	b := newBattered(t)
	b.publish(40)
	rng, begin := rand.New(rand.NewPCG(1, 2)), time.Now()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for n := range kills {
		under, cut := context.WithCancel(ctx)
		workers := b.load(under)
		b.awaitCount(1 + rng.IntN(60))
		b.kill()
		cut()
		workers.Wait()
		b.start()
		if n%8 == 0 {
			b.audit()
		}
	}
	b.audit()
	var said bytes.Buffer // leave drains what is queued
	if code := execute(t.Context(), []string{"leave", "--config", filepath.Join(b.options.Directory, "sealgate.yaml")}, &said, &said); code != exitOK || !strings.Contains(said.String(), "0 deliveries are queued") {
		t.Errorf("leave: %d %s", code, said.String())
	}
	b.auditDeliveries()
	took := 0
	for _, ids := range b.ledger.took {
		took += len(ids)
	}
	t.Logf("%d kills in %s: %d taken, %d sent, %d packages claimed, %d pages read, 0 lost",
		kills, time.Since(begin).Round(time.Second), took, len(b.ledger.sent), len(b.ledger.claimed), b.ledger.reads)
	if took < kills || len(b.ledger.sent) == 0 || len(b.ledger.claimed) < 2 || b.ledger.reads == 0 {
		t.Error("the load was too small to say anything")
	}
}

// TestFailedFsync: once the disk has failed one fsync, nothing is acknowledged any more, also when the disk works
// again, until the gateway is restarted; and the operator is told.
func TestFailedFsync(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is missing: run .ci/peers.sh")
	}
	b := newBattered(t)
	for range 20 {
		if _, status := b.post(t.Context(), b.others[0], "0"); status != 202 {
			t.Fatalf("before: %d", status)
		}
	}
	failing := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=msync,fsync,fdatasync",
		"-e", "inject=msync,fsync,fdatasync:error=EIO", "-p", pid(b))
	var said strings.Builder
	failing.Stderr = &said
	if err := failing.Start(); err != nil {
		t.Fatal(err)
	}
	refusals := 0
	for deadline := time.Now().Add(30 * time.Second); refusals < 5; { // strace may need a moment to attach
		if _, status := b.post(t.Context(), b.others[1], "1"); status == 503 {
			refusals++
		} else if status != 202 || refusals > 0 || time.Now().After(deadline) {
			t.Fatalf("under a failing disk: %d after %d refusals; strace: %s", status, refusals, said.String())
		}
	}
	_ = failing.Process.Signal(syscall.SIGINT) // it detaches, and the disk works again
	_ = failing.Wait()
	for range 5 {
		if _, status := b.post(t.Context(), b.others[2], "2"); status != 503 {
			t.Errorf("after a failed fsync: %d", status)
		}
	}
	if status := b.send(t.Context()); status != 503 {
		t.Errorf("sending after a failed fsync: %d", status)
	}
	status, _, body := b.do(t.Context(), b.request("GET", b.process.Admin+"/readyz", "", ""))
	if status != 503 || !strings.Contains(string(body), "restarted") {
		t.Errorf("readyz: %d %s", status, body)
	}
	if status, _, body := b.do(t.Context(), b.request("GET", b.process.URL+"/users/bob", "", "")); status != 200 {
		t.Errorf("ordinary requests: %d %s", status, body)
	}
	b.audit() // reads go on
	log := readFile(t, b.process.Log)
	if !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "check the disk under storage.path") {
		t.Errorf("the log does not say so: %s", log)
	}
	b.kill()
	b.start()
	if _, status := b.post(t.Context(), b.others[3], "3"); status != 202 {
		t.Errorf("after the restart: %d", status)
	}
	b.audit()
}

func pid(b *battered) string { return strconv.Itoa(b.process.PID) }

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
