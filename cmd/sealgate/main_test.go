package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	// Most people of these tests have no client that publishes keys, and get mail all the same.
	if err := os.Setenv("SEALGATE_MAILBOX_UNENROLLED", "keep"); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){"sealgate": main, "assault": assaultMain})
}

// buildGateway builds the program as it is in the working tree, where the next test finds it built.
func buildGateway(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/tests/sealgate")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// TestScript runs the stories of testdata/script with the program as its users have it.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script"})
}

// TestExitCodes: 0 success, 1 failure, 2 usage.
func TestExitCodes(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"version"}, 0},
		{[]string{"version", "--json"}, 0},
		{[]string{"help"}, 0},
		{[]string{"help", "policy", "check"}, 0},
		{nil, 0},
		{[]string{"serve"}, 1},
		{[]string{"serve", "--config", "absent.yaml"}, 1},
		{[]string{"check", "--domain", "social.example", "--upstream", "http://127.0.0.1:1"}, 1},
		{[]string{"swerve"}, 2},
		{[]string{"help", "swerve"}, 2},
		{[]string{"help", "policy", "swerve"}, 2},
		{[]string{"serve", "now"}, 2},
		{[]string{"serve", "--colour", "red"}, 2},
		{[]string{"check", "--send"}, 2},
		{[]string{"version", "please"}, 2},
	} {
		var stdout, stderr bytes.Buffer
		if code := execute(t.Context(), c.args, &stdout, &stderr); code != c.code {
			t.Errorf("sealgate %q exits with %d, want %d; stderr: %s", c.args, code, c.code, &stderr)
		}
		if slices.Contains(c.args, "swerve") && !strings.Contains(stderr.String(), `unknown command "swerve"`) {
			t.Errorf("sealgate %q does not name the command: %s", c.args, &stderr)
		}
		if (c.code == 0) != (stderr.Len() == 0) {
			t.Errorf("sealgate %q: stderr is %q", c.args, &stderr)
		}
	}
	if _, err := os.Stat("data"); err == nil {
		t.Error("a command that failed left ./data behind")
	}
}
