package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestH2load: nghttp2's client has almost as much under way as limits.connections_per_client lets one address,
// 8 connections of 30 requests each: all succeed, and the program grows by less than 128 MiB
// (6,400 requests of one address at a time had it grow by 400).
func TestH2load(t *testing.T) {
	page := make([]byte, 16<<10)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(page)
	}))
	defer up.Close()
	c := startChild(t, up.URL, "")
	idle := c.peak(t)
	upload := filepath.Join(t.TempDir(), "upload")
	if err := os.WriteFile(upload, make([]byte, 10<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, what := range [][]string{{"-n", "6000"}, {"-n", "3000", "-d", upload}} {
		args := append([]string{"-c", "8", "-m", "30"}, what...)
		out, err := exec.CommandContext(t.Context(), "h2load", append(args, "https://"+c.address+"/x")...).CombinedOutput()
		if err != nil {
			t.Fatalf("h2load (nghttp2-client): %v\n%s", err, out)
		}
		if want := fmt.Sprintf("%s total, %[1]s started, %[1]s done, %[1]s succeeded, 0 failed, 0 errored, 0 timeout", what[1]); !strings.Contains(string(out), want) {
			t.Errorf("h2load said\n%s", out)
		}
		t.Logf("%v: %s, peak of %d MiB, before it %d", what, line(string(out), "finished in"), c.peak(t), idle)
		if grown := c.peak(t) - idle; grown >= 128 {
			t.Errorf("it grew by %d MiB", grown)
		}
	}
}

// line returns what stands in text from begin to the end of the line.
func line(text, begin string) string {
	_, after, _ := strings.Cut(text, begin)
	return begin + strings.SplitN(after, "\n", 2)[0]
}
