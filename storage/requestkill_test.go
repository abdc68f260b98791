package storage_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

const holderPath = "SEALGATE_TEST_CHILD_HOLDER"

// holdForEver has strangers ask the same person, each with an invitation and a message
// that follows, and says whose were acknowledged.
func holdForEver(path, round string) error {
	s, err := storage.Open(options(path))
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		for i, kind := range []string{"welcome", "commit"} {
			m := inboxtest.Sample("held", n)
			m.Actor = fmt.Sprintf("https://peer.example/users/%s-%d", round, n)
			m.Group = []byte(m.Actor)
			m.ActivityID, m.Kind, m.Fate = fmt.Sprintf("%s/%d", m.Actor, i), kind, inbox.Await
			if kind == "welcome" {
				m.Group = nil
			}
			rs, err := s.Append(context.Background(), []inbox.Message{m})
			if err != nil || !rs[0].Waits {
				return fmt.Errorf("%v %w", rs, err)
			}
			fmt.Println(m.Actor, i+1)
		}
	}
}

// TestKillKeepsRequests: every message that waits and was acknowledged is there after
// kill -9, in order, and can be accepted.
func TestKillKeepsRequests(t *testing.T) {
	path := t.TempDir()
	acked := map[string]int{} // messages by actor
	for round := range 6 {
		holdAndKill(t, path, round, 3+round*9, acked)
	}
	s := open(t, options(path))
	in := inbox.New(inbox.Options{Store: s})
	all, err := in.Requests(t.Context(), "held")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, w := range all {
		found[w.Actor] = w.Messages
	}
	for actor, n := range acked {
		if found[actor] < n {
			t.Errorf("%s: %d messages wait, %d were acknowledged", actor, found[actor], n)
		}
	}
	last := all[len(all)-1]
	if err := in.AcceptRequest(t.Context(), "held", last.ID); err != nil {
		t.Fatal(err)
	}
	es, err := s.After(t.Context(), "held", 0, 10)
	if err != nil || len(es) != last.Messages || es[0].Kind != "welcome" || es[0].Actor != last.Actor {
		t.Errorf("%+v, %v", es, err)
	}
}

func holdAndKill(t *testing.T, path string, round, acks int, acked map[string]int) {
	t.Helper()
	child, out := spawn(t, holderPath+"="+path, fmt.Sprintf("%s_ROUND=%d", holderPath, round))
	lines := bufio.NewReader(out)
	for n := 0; ; n++ {
		if n == acks {
			child.Process.Kill()
		}
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var actor string
		var count int
		if _, err := fmt.Sscan(line, &actor, &count); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		acked[actor] = count
	}
	child.Wait() // the kill is its error
}
