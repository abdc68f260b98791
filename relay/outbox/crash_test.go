package outbox_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/cmd/demo/instance"
	"github.com/sealgate/sealgate/policy/mastodon"
)

const childVariable = "OUTBOX_CHILD" // origin, account, actor, keys, store, peer

// TestCrashChild is the process that TestCrash kills; on its own it has nothing to do.
func TestCrashChild(t *testing.T) {
	given := strings.Fields(os.Getenv(childVariable))
	if len(given) != 6 {
		return
	}
	w := &world{origin: given[0], from: mastodon.Person{Account: given[1], Name: "alice", Actor: given[2]}}
	w.open(t, given[4], files(t, given[3]))
	w.run(t)
	first, _ := strconv.ParseUint(given[5][strings.LastIndex(given[5], "#")+1:], 10, 64)
	zoe := given[5][:strings.LastIndex(given[5], "#")]
	for n := first; ; n++ {
		w.post(t, numbered(n, zoe))
		fmt.Println("kept", n)
	}
}

// numbered has an id of the client's own: a child that is killed between keeping it
// and saying so has it posted again by the next one.
func numbered(n uint64, to string) []byte {
	return message("g", n, fmt.Sprintf(`"id":"urn:crash:%d",`, n), to)
}

// TestCrash: whatever was acknowledged before kill -9 arrives, in order, and only
// what was in flight arrives twice.
func TestCrash(t *testing.T) {
	host, store := newInstance(t, instance.OpenFetch), t.TempDir()
	keys := keyFiles(t, host.alice)
	tries := 0
	p := newPeer(t, func(*http.Request, arrived) int {
		if tries++; tries%300 == 0 {
			return http.StatusServiceUnavailable // so that something is always left
		}
		return http.StatusAccepted
	})
	const kills = 4
	next := uint64(1)
	for range kills {
		next = crash(t, next, host.origin, host.alice.Account, host.alice.Actor, keys, store, p.actor("zoe"))
	}
	host.open(t, store, files(t, keys))
	host.run(t)
	host.post(t, numbered(next, p.actor("zoe"))) // behind everything
	until(t, func() bool {
		got := p.arrived()
		return len(got) > 0 && strings.Contains(got[len(got)-1].body, private("g", next))
	})
	last, twice, ids := uint64(0), 0, map[string]bool{}
	for _, a := range p.arrived() {
		switch id := activityID(t, a.body); {
		case strings.Contains(a.body, private("g", last+1)) && !ids[id]:
			last, ids[id] = last+1, true
		case strings.Contains(a.body, private("g", last)) && ids[id]:
			twice++
		default:
			t.Fatalf("after %d came %s", last, a.body)
		}
	}
	// There is one lane: each kill can cost the one answer that was in flight.
	if last != next || twice > kills {
		t.Errorf("arrived up to %d of %d, %d twice", last, next, twice)
	}
	t.Logf("%d messages, %d kills, %d arrived twice", next-1, kills, twice)
}

func activityID(t *testing.T, body string) string {
	t.Helper()
	var a struct{ ID string }
	if err := json.Unmarshal([]byte(body), &a); err != nil || a.ID == "" {
		t.Fatalf("%s: %v", body, err)
	}
	return a.ID
}

// crash lets a child post from number first on, kills it, and returns the number
// behind the last that is kept.
func crash(t *testing.T, first uint64, given ...string) uint64 {
	t.Helper()
	given[5] += "#" + strconv.FormatUint(first, 10)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), childVariable+"="+strings.Join(given, " "))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(700*time.Millisecond, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	var said []string // nothing else
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, isNumber := strings.CutPrefix(lines.Text(), "kept ")
		if !isNumber {
			said = append(said, lines.Text())
			continue
		}
		kept, err := strconv.ParseUint(n, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first = kept + 1
	}
	_ = cmd.Wait() // killed
	if said != nil {
		t.Fatalf("the child says %s", strings.Join(said, "\n"))
	}
	return first
}
