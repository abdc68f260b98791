package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/relay/outbox/outboxtest"
)

// redisDo is what Redis says to a command.
func redisDo(t *testing.T, socket string, words ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "redis-cli", append([]string{"-e", "-s", socket}, words...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v %s", words, err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestSidekiqSource: the gateway hands what is sent to Mastodon's workers, as a user
// with the rights that `sealgate check` prints; until it has them it says so, and waits.
func TestSidekiqSource(t *testing.T) {
	socket, _ := outboxtest.Redis(t)
	bob := sendingHere(t, "bob", instance.OpenFetch)
	alice := sendingBy(t, "alice", instance.OpenFetch, fmt.Sprintf("{source: mastodon-sidekiq, redis: %q}", "unix://sealgate:hunter2@"+socket))
	_, said, _ := alice.command(t, "check")
	at := strings.Index(said, "ACL SETUSER sealgate ")
	if at < 0 || !strings.Contains(said, "until then messages to other servers wait") {
		t.Fatalf("check says\n%s", said)
	}
	resp, first := alice.send(t, 1, bob.bob.Actor) //nolint:bodyclose // send closes it
	if resp.StatusCode != 201 {
		t.Fatalf("%d %s", resp.StatusCode, first)
	}
	line, _, _ := strings.Cut(said[at:], "\n")
	redisDo(t, socket, strings.Fields(strings.NewReplacer("'", "", "PASSWORD", "hunter2").Replace(line))...)
	alice.succeeds(t, "jobs can be pushed to signing.redis", "check")
	resp, second := alice.send(t, 2, bob.bob.Actor) //nolint:bodyclose // as above
	if resp.StatusCode != 201 {
		t.Fatalf("%d %s", resp.StatusCode, second)
	}
	var jobs []string
	for tick, end := time.NewTicker(50*time.Millisecond), time.After(40*time.Second); len(jobs) < 2; {
		select {
		case <-tick.C:
			jobs = strings.Split(redisDo(t, socket, "--raw", "LRANGE", "queue:push", "0", "-1"), "\n")
		case <-end:
			t.Fatalf("jobs %q", jobs)
		}
	}
	var job struct{ Args [4]json.RawMessage }
	for i, want := range []string{second, first} { // the newest is on the left
		if err := json.Unmarshal([]byte(jobs[i]), &job); err != nil {
			t.Fatal(err)
		}
		var body string
		if err := json.Unmarshal(job.Args[0], &body); err != nil || body != want ||
			string(job.Args[1]) != alice.bob.Account || string(job.Args[2]) != strconv.Quote(bob.bob.Actor+"/inbox") {
			t.Errorf("job %s, want %s", jobs[i], want)
		}
	}
	alice.end(t)
	if !strings.Contains(alice.log.String(), "signing source cannot sign") {
		t.Error("nothing was said at the start")
	}
}

// TestSourceThatCannotSign: it is said at the start and by `sealgate check`, with the
// cure and without secrets or names in the log; receiving goes on.
func TestSourceThatCannotSign(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "none")
	keys := t.TempDir()
	if err := os.WriteFile(filepath.Join(keys, "mallory.pem"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for signing, cure := range map[string]string{
		fmt.Sprintf("{source: file, file: %q}", keys):                                                     "mallory",
		fmt.Sprintf("{source: mastodon-database, database: %q}", "postgres://u:hunter2@/x?host="+nowhere): "messages to other servers wait",
		fmt.Sprintf("{source: mastodon-sidekiq, redis: %q}", "unix://u:hunter2@"+nowhere):                 "messages to other servers wait",
	} {
		s := sendingBy(t, "alice", instance.OpenFetch, signing)
		s.fails(t, cure, "check")
		s.succeeds(t, "alice has the test message", "check", "--send", "alice")
		s.end(t)
		if log := s.log.String(); !strings.Contains(log, "signing source cannot sign") || strings.Contains(log, "hunter2") || strings.Contains(log, "mallory") {
			t.Errorf("%s: %s", signing, log)
		}
	}
}
