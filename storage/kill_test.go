package storage_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

const childPath = "SEALGATE_TEST_CHILD_STORE"

// TestMain is also the child that kill -9 hits: with childPath set the test binary
// writes into that store until it is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv(claimerPath); path != "" {
		fmt.Fprintln(os.Stderr, claimForEver(path, os.Getenv(claimerPath+"_ROUND")))
		os.Exit(1)
	}
	if path := os.Getenv(childPath); path != "" {
		fmt.Fprintln(os.Stderr, writeForEver(path, os.Getenv(childPath+"_ROUND")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver acknowledges each message on standard output: owner, id, position.
func writeForEver(path, round string) error {
	s, err := storage.Open(options(path))
	if err != nil {
		return err
	}
	var mu sync.Mutex
	errs := make(chan error, 1)
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				m := inboxtest.Sample(inbox.Owner(strconv.Itoa(i%3)), 0)
				m.ActivityID = fmt.Sprintf("urn:%s-%d-%d", round, w, i)
				m.Activity = []byte(strings.Repeat(m.ActivityID+" ", 40))
				rs, err := s.Append(context.Background(), []inbox.Message{m})
				if err != nil || rs[0].Err != nil {
					errs <- fmt.Errorf("%v %w", rs, err)
					return
				}
				mu.Lock()
				fmt.Println(m.Owner, m.ActivityID, rs[0].Position)
				mu.Unlock()
			}
		}()
	}
	return <-errs
}

const kills = 30

// TestKill kills a writing child again and again. After each kill every message
// it acknowledged is there exactly once, in order, whole; nothing is half there.
func TestKill(t *testing.T) {
	path := t.TempDir()
	ledger := map[string]string{} // id → owner and position
	begin := time.Now()
	for round := range kills {
		// From before the first acknowledgement to well into the stream.
		writeAndKill(t, path, round, round*round%97, ledger)
		audit(t, path, ledger)
		if t.Failed() {
			return
		}
	}
	if len(ledger) < kills {
		t.Errorf("only %d messages were acknowledged in %d rounds", len(ledger), kills)
	}
	t.Logf("%d kills, %d acknowledged messages, %s", kills, len(ledger), time.Since(begin).Round(time.Millisecond))
}

func writeAndKill(t *testing.T, path string, round, acks int, ledger map[string]string) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childPath+"="+path, fmt.Sprintf("%s_ROUND=%d", childPath, round))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	readLedger(t, out, ledger, func(n int) {
		if n == acks {
			child.Process.Kill() // what is already in the pipe still counts
		}
	})
	child.Wait() // the kill is its error
}

// readLedger takes down what a child acknowledges until it ends; before each line it tells how many there were.
func readLedger(t *testing.T, out io.Reader, ledger map[string]string, before func(n int)) {
	t.Helper()
	lines := bufio.NewReader(out)
	for n := 0; ; n++ {
		before(n)
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return // a torn last line acknowledged nothing
		}
		if err != nil {
			t.Fatal(err)
		}
		var owner, id, position string
		if _, err := fmt.Sscan(line, &owner, &id, &position); err != nil {
			t.Fatalf("ledger line %q: %v", line, err)
		}
		ledger[id] = owner + " " + position
	}
}

func audit(t *testing.T, path string, ledger map[string]string) {
	t.Helper()
	s, err := storage.Open(options(path))
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	found := map[string]bool{}
	for _, o := range []inbox.Owner{"0", "1", "2"} {
		es, err := s.After(t.Context(), o, 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range es {
			if e.Position != inbox.Position(i+1) || found[e.ActivityID] || string(e.Activity) != strings.Repeat(e.ActivityID+" ", 40) {
				t.Fatalf("owner %s entry %d: position %d, id %s, seen before: %t", o, i, e.Position, e.ActivityID, found[e.ActivityID])
			}
			found[e.ActivityID] = true
			if want, ok := ledger[e.ActivityID]; ok && want != fmt.Sprint(o, " ", uint64(e.Position)) {
				t.Fatalf("%s is at %s %d, acknowledged at %s", e.ActivityID, o, e.Position, want)
			}
		}
		checkUsage(t, s, o, es)
	}
	for id := range ledger {
		if !found[id] {
			t.Fatalf("acknowledged message %s is gone", id)
		}
	}
}

func checkUsage(t *testing.T, s *storage.Store, o inbox.Owner, es []inbox.Entry) {
	t.Helper()
	want := inbox.Usage{Total: len(es), Last: inbox.Position(len(es))}
	for _, e := range es {
		want.Bytes += int64(len(e.Activity))
	}
	if len(es) > 0 {
		want.First = 1
	}
	if got, err := s.Usage(t.Context(), o); err != nil || got != want {
		t.Fatalf("usage of %s: %+v, %v, want %+v", o, got, err, want)
	}
}
