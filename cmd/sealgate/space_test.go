package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSpace: `make test` says before anything else which disk has too little room, how much there is and how much it needs.
func TestSpace(t *testing.T) {
	dir := t.TempDir()
	df := `#!/bin/sh
echo 'Filesystem 1024-blocks Used Available Capacity Mounted on'
case $2 in
*/a | */b) echo '/dev/one 1024000 921600 102400 90% /the first' ;;
*) echo 'tmpfs 2048000 1024000 1024000 50% /second' ;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "df"), []byte(df), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	f := func(want string, args ...string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "../../.ci/space.sh", args...).CombinedOutput()
		if (err == nil) != (want == "") || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v, %s", args, err, out)
		}
	}
	f("", "100", a)
	f("100 MiB are free for "+a+", and 101 are needed", "101", a)
	f("100 MiB are free for "+a+" and "+b+", and 101 are needed", "60", a, "41", b)
	f("", "60", a, "40", b, "1000", c)
	f("1000 MiB are free for "+c+", and 1001 are needed", "60", a, "1001", c)
}
