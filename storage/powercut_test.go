package storage_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/storage/powercut"
)

// soaking says whether the tests that repeat a fault repeat it hundreds of times: make soak.
func soaking() bool { return os.Getenv("SEALGATE_SOAK") != "" }

// TestPowerCut cuts the power again and again under a writing process, whose messages fill table after table. After
// every cut all that was acknowledged before is there, exactly once, in order; also when some of what nobody had
// synced reached the disk.
func TestPowerCut(t *testing.T) {
	const cuts = 16
	rounds := 1
	if soaking() {
		rounds = 20
	}
	begin, messages := time.Now(), 0
	for round := range rounds {
		n, failures := cutUnderLoad(t, cuts, uint64(round))
		messages += n
		for _, err := range failures {
			t.Error(err)
		}
	}
	t.Logf("%d cuts, %d acknowledged messages, %s", rounds*cuts, messages, time.Since(begin).Round(time.Second))
}

// TestPowerCutNoticesMissingSyncs: a store that acknowledges before it syncs does not pass.
func TestPowerCutNoticesMissingSyncs(t *testing.T) {
	if _, failures := cutUnderLoad(t, 2, 0, childPath+"_NOSYNC=1"); len(failures) == 0 {
		t.Error("nothing was lost without any sync: the file system or the ledger is of no use")
	}
}

func cutUnderLoad(t *testing.T, cuts int, seed uint64, environment ...string) (messages int, failures []error) {
	t.Helper()
	mounted := t.TempDir()
	disk, err := powercut.Mount(mounted)
	if err != nil {
		if soaking() || os.Getenv("CI") != "" && os.Geteuid() == 0 {
			t.Fatal(err)
		}
		t.Skipf("NOT TESTED: a power cut needs root and /dev/fuse: %v", err)
	}
	round := strings.Repeat("x", 400) // 16 KiB a message, so that tables are written and compacted
	child, out := spawn(t, append(environment, childPath+"="+mounted, childPath+"_ROUND="+round)...)
	guard := time.AfterFunc(20*time.Minute, func() { child.Process.Kill() })
	defer guard.Stop()
	ledger, rng := map[string]string{}, rand.New(rand.NewPCG(1, seed))
	type cut struct {
		path   string
		ledger map[string]string
	}
	next, done := 0, 0
	readLedger(t, out, ledger, func(n int) {
		if n < next || done == cuts {
			return
		}
		next, done = n+1+rng.IntN(400), done+1
		one := cut{t.TempDir(), maps.Clone(ledger)}
		chance := rng
		if done%2 == 0 {
			chance = nil
		}
		if err := disk.Cut(one.path, chance); err != nil {
			failures = append(failures, err)
		}
		if n > 0 { // else there may be no manifest yet
			if err := lostByCut(t, one.path, manifestCuts(t, one.path, rng)[0], one.ledger); err != nil && !isRefused(err) {
				failures = append(failures, fmt.Errorf("cut %d, after %d messages, with the manifest cut too: %w", done, n, err))
			}
		}
		if err := lost(one.path, one.ledger); err != nil {
			failures = append(failures, fmt.Errorf("cut %d, after %d messages: %w", done, n, err))
		}
		_ = os.RemoveAll(one.path)
		if done == cuts || len(failures) > 0 {
			done = cuts
			child.Process.Kill()
		}
	})
	child.Wait() // the kill is its error
	if err := disk.Unmount(); err != nil {
		t.Error(err)
	}
	return len(ledger), failures
}
