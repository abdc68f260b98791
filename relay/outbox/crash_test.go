package outbox_test

import (
	"bufio"
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
		w.post(t, message("g", n, "", zoe))
		fmt.Println("kept", n)
	}
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
	host.post(t, message("g", next+1, "", p.actor("zoe"))) // behind everything
	last, twice := uint64(0), 0
	until(t, func() bool {
		got := p.arrived()
		return len(got) > 0 && strings.Contains(got[len(got)-1].body, private("g", next+1))
	})
	for _, a := range p.arrived() {
		switch {
		case strings.Contains(a.body, private("g", last+1)):
			last++
		case last > 0 && strings.Contains(a.body, private("g", last)):
			twice++
		case last == next-1 && strings.Contains(a.body, private("g", next+1)):
			last = next + 1 // next itself was never acknowledged and may not be there
		default:
			t.Fatalf("after %d came %s", last, a.body)
		}
	}
	// There is one lane: each kill can cost the one answer that was in flight.
	if last != next+1 || twice > kills {
		t.Errorf("arrived up to %d of %d, %d twice", last, next+1, twice)
	}
	t.Logf("%d messages, %d kills, %d arrived twice", next-1, kills, twice)
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
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, isNumber := strings.CutPrefix(lines.Text(), "kept ")
		if !isNumber {
			t.Fatalf("the child says %q", lines.Text())
		}
		kept, err := strconv.ParseUint(n, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first = kept + 1
	}
	_ = cmd.Wait() // killed
	return first
}
