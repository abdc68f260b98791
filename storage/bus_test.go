package storage_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/inbox/inboxtest"
)

// TestDiskIsTakenAtOnce: another program takes all that was free before the store can notice, here because the store is
// told of room that is not there. Its next table then has no blocks, and the process dies of SIGBUS. Restarted on the
// full disk it opens and refuses; with room everything that was acknowledged is there, and it takes more.
func TestDiskIsTakenAtOnce(t *testing.T) {
	dir := smallDisk(t, "size=560m")
	ledger, rest := map[string]string{}, filepath.Join(dir, "rest")
	said, _ := writeOn(t, dir, "BLIND", ledger, func(n int) {
		if n == 100 {
			fillDisk(t, rest)
		}
	})
	if !strings.Contains(said, "SIGBUS") {
		t.Fatalf("the process did not die of SIGBUS: %s", said)
	}
	for range 3 {
		said, _ := writeOn(t, dir, "", ledger, func(int) {})
		if !strings.Contains(said, "free under storage.path") {
			t.Errorf("started on the full disk: %s", said)
		}
	}
	if err := os.Remove(rest); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "store")
	audit(t, path, ledger)
	appendOne(t, open(t, options(path)), inboxtest.Sample("bob", 1))
	t.Logf("%d messages acknowledged, 0 lost", len(ledger))
}

// writeOn has a child write to the store on disk until it ends by itself, and gives what it said of that.
func writeOn(t *testing.T, disk, how string, ledger map[string]string, before func(n int)) (said string, state *os.ProcessState) {
	t.Helper()
	fd, err := strconv.Atoi(filepath.Base(disk))
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childPath+"=/proc/self/fd/3/store", fmt.Sprintf("%s_ROUND=%d", childPath, len(ledger)), childPath+"_"+how+"=1")
	child.ExtraFiles = []*os.File{os.NewFile(uintptr(dup(t, fd)), "disk")}
	var errs strings.Builder
	child.Stderr = &errs
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	child.ExtraFiles[0].Close()
	readLedger(t, out, ledger, before)
	child.Wait() // it never ends well
	return errs.String(), child.ProcessState
}
