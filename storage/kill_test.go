package storage_test

import (
	"bufio"
	"context"
	"errors"
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
	if path := os.Getenv(holderPath); path != "" {
		fmt.Fprintln(os.Stderr, holdForEver(path, os.Getenv(holderPath+"_ROUND")))
		os.Exit(1)
	}
	if path := os.Getenv(saverPath); path != "" {
		if err := saveToStdout(path, os.Getenv(saverPath+"_SPOT")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if path := os.Getenv(childPath); path != "" {
		fmt.Fprintln(os.Stderr, writeForEver(path, os.Getenv(childPath+"_ROUND")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver acknowledges each message on standard output: owner, id, position.
func writeForEver(path, round string) error {
	o := options(path)
	o.Quota = 1 << 40
	s, err := storage.Open(o)
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil { // what an orderly end leaves must not outlive the next start
		return err
	}
	if s, err = storage.Open(o); err != nil {
		return err
	}
	if os.Getenv(childPath+"_NOSYNC") != "" {
		s.SetSync(func(func() error) error { return nil })
	}
	if os.Getenv(childPath+"_BLIND") != "" {
		s.SetFree(func() int64 { return 1 << 40 })
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

// TestKill kills a writing child again and again. After each kill every message
// it acknowledged is there exactly once, in order, whole; nothing is half there.
func TestKill(t *testing.T) {
	kills := 30
	if soaking() {
		kills = 300
	}
	path := t.TempDir()
	ledger := map[string]string{} // id → owner and position
	begin := time.Now()
	for round := range kills {
		// From before the first acknowledgement to well into the stream.
		writeAndKill(t, path, strconv.Itoa(round), round*round%97, ledger)
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

// spawn runs this test's binary with an environment that has it do something else, and gives what it says.
func spawn(t *testing.T, environment ...string) (child *exec.Cmd, out io.Reader) {
	t.Helper()
	child = exec.Command(os.Args[0])
	child.Env = append(os.Environ(), environment...)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	return child, out
}

func writeAndKill(t *testing.T, path, round string, acks int, ledger map[string]string) {
	t.Helper()
	child, out := spawn(t, childPath+"="+path, childPath+"_ROUND="+round)
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
	if err := lost(path, ledger); err != nil {
		t.Fatal(err)
	}
}

// lost opens the store and says what of the ledger is not there exactly once, in order and whole, or what else is
// wrong.
func lost(path string, ledger map[string]string) (err error) {
	s, err := storage.Open(options(path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	found := map[string]bool{}
	for _, o := range []inbox.Owner{"0", "1", "2"} {
		es, err := s.After(context.Background(), o, 0, 1<<20)
		if err != nil {
			return err
		}
		for i, e := range es {
			if e.Position != inbox.Position(i+1) || found[e.ActivityID] || string(e.Activity) != strings.Repeat(e.ActivityID+" ", 40) {
				return fmt.Errorf("owner %s entry %d: position %d, id %s, seen before: %t", o, i, e.Position, e.ActivityID, found[e.ActivityID])
			}
			found[e.ActivityID] = true
			if want, ok := ledger[e.ActivityID]; ok && want != fmt.Sprint(o, " ", uint64(e.Position)) {
				return fmt.Errorf("%s is at %s %d, acknowledged at %s", e.ActivityID, o, e.Position, want)
			}
		}
		if err := checkUsage(s, o, es); err != nil {
			return err
		}
	}
	for id := range ledger {
		if !found[id] {
			return fmt.Errorf("acknowledged message %s is gone", id)
		}
	}
	return nil
}

func checkUsage(s *storage.Store, o inbox.Owner, es []inbox.Entry) error {
	want := inbox.Usage{Total: len(es), Last: inbox.Position(len(es))}
	for _, e := range es {
		want.Bytes += int64(len(e.Activity))
	}
	if len(es) > 0 {
		want.First = 1
	}
	if got, err := s.Usage(context.Background(), o); err != nil || got != want {
		return fmt.Errorf("usage of %s: %+v, %w, want %+v", o, got, err, want)
	}
	return nil
}
