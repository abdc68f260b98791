package storage_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKillThenTheManifestIsCut: after a kill among tables that come and go, a manifest that is cut anywhere is refused, or nothing is
// lost by it; the one that is whole is never refused.
func TestKillThenTheManifestIsCut(t *testing.T) {
	kills := 4
	if soaking() {
		kills = 60
	}
	refused, opened := 0, 0
	for round := range kills {
		rng := rand.New(rand.NewPCG(2, uint64(round)))
		path, ledger := t.TempDir(), map[string]string{}
		writeAndKill(t, path, strings.Repeat("x", 400), 1000+rng.IntN(6000), ledger)
		for _, size := range manifestCuts(t, path, rng) {
			switch err := lostByCut(t, path, size, ledger); {
			case isRefused(err):
				refused++
			case err != nil:
				t.Errorf("kill %d, manifest cut to %d: %v", round, size, err)
			default:
				opened++
			}
		}
		if err := lost(copyStore(t, path), ledger); err != nil {
			t.Errorf("kill %d: %v", round, err)
		}
		writeTables(t, path)
		if err := lost(path, ledger); err != nil {
			t.Errorf("kill %d, before the manifest had the tables of the logs: %v", round, err)
		}
		_ = os.RemoveAll(path)
	}
	if t.Logf("%d refused, %d opened", refused, opened); refused == 0 {
		t.Error("none was refused")
	}
}

// manifestCuts are sizes of a manifest that lacks all, one to five whole records, and some bytes.
func manifestCuts(t *testing.T, path string, rng *rand.Rand) (sizes []int64) {
	t.Helper()
	manifest, err := os.ReadFile(filepath.Join(path, "MANIFEST"))
	if err != nil {
		t.Fatal(err)
	}
	ends := []int64{8}
	for at := 8; at+8 <= len(manifest); {
		at += 8 + int(binary.BigEndian.Uint32(manifest[at:]))
		ends = append(ends, int64(at))
	}
	for n := 2; n <= min(6, len(ends)); n++ {
		sizes = append(sizes, ends[len(ends)-n])
	}
	return append(sizes, 8, int64(8+rng.IntN(len(manifest)-8)))
}

// lostByCut says what of the ledger a copy of the store lacks whose manifest is cut, or how it is refused.
func lostByCut(t *testing.T, path string, size int64, ledger map[string]string) error {
	t.Helper()
	one := copyStore(t, path)
	if err := os.Truncate(filepath.Join(one, "MANIFEST"), size); err != nil {
		t.Fatal(err)
	}
	return errors.Join(lost(one, ledger), os.RemoveAll(one))
}

// isRefused says whether a start says what cures it; some of what is damaged the engine finds itself.
func isRefused(err error) bool {
	return err != nil && strings.Contains(err.Error(), "restore the last backup")
}

// writeTables leaves the tables that the next start makes of the logs, as a crash would before the manifest has them.
func writeTables(t *testing.T, path string) {
	t.Helper()
	next := copyStore(t, path)
	closeStore(t, open(t, options(next)))
	tables, err := filepath.Glob(filepath.Join(next, "*.sst"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tables {
		if err := os.Link(name, filepath.Join(path, filepath.Base(name))); err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
}

func copyStore(t *testing.T, path string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(path)); err != nil {
		t.Fatal(err)
	}
	return to
}
