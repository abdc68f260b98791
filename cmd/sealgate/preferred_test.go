package main

import (
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// TestPreferred: the threads that serve clients are the only ones that are not nicer than the gateway was started, whichever begin later.
func TestPreferred(t *testing.T) {
	b := newBattered(t)
	for i := range 200 {
		if _, status := b.post(t.Context(), b.alice, strconv.Itoa(i)); status != http.StatusAccepted {
			t.Fatalf("a message was answered %d", status)
		}
	}
	usual := niceness(t, "/proc/thread-self/stat") // of whoever started it: all threads here but loops are alike
	threads, err := filepath.Glob("/proc/" + strconv.Itoa(b.process.PID) + "/task/*/stat")
	if err != nil {
		t.Fatal(err)
	}
	serving := 0
	for _, path := range threads {
		switch nice := niceness(t, path); nice {
		case usual:
			serving++
		case min(usual+10, 19):
		default:
			t.Errorf("a thread is nice by %d, the test by %d", nice, usual)
		}
	}
	if most := runtime.NumCPU(); serving < 1 || serving > most || len(threads) <= serving {
		t.Errorf("%d of %d threads are as nice as the gateway was started, want 1 to %d and others", serving, len(threads), most)
	}
}

// niceness is that of a process or thread (proc_pid_stat(5), field 19).
func niceness(t *testing.T, path string) int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	nice, err := strconv.Atoi(strings.Fields(rest)[16])
	if err != nil {
		t.Fatal(err)
	}
	return nice
}
