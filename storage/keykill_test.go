package storage_test

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/storage"
)

const (
	claimerPath = "SEALGATE_TEST_CLAIMER_STORE"
	claimed     = 5   // people whose packages are claimed
	perPerson   = 100 // packages
	claimKills  = 12
)

// claimForEver claims for ever new requesters and tells on standard output who got
// which package.
func claimForEver(path, round string) error {
	s, err := storage.Open(options(path))
	if err != nil {
		return err
	}
	d := inboxtest.NewDirectory(s, time.Now)
	var mu sync.Mutex
	errs := make(chan error, 1)
	for w := range 8 {
		go func() {
			for i := 0; ; i++ {
				who := fmt.Sprintf("%s-%d-%d", round, w, i)
				got, err := d.Claim(context.Background(), inbox.Owner(strconv.Itoa(i%claimed)), inbox.Requester{ID: who})
				if err != nil {
					errs <- err
					return
				}
				mu.Lock()
				for _, p := range got {
					fmt.Println(who, p.ID)
				}
				mu.Unlock()
			}
		}()
	}
	return <-errs
}

// TestKillClaims kills a process that hands out key packages. What it told anybody
// is reserved in the next one: over all of them no package has two requesters.
func TestKillClaims(t *testing.T) {
	stores := 1
	if soaking() {
		stores = 25
	}
	for range stores {
		killClaims(t) // 12 kills use a store's packages up
	}
}

func killClaims(t *testing.T) {
	t.Helper()
	path := t.TempDir()
	fill(t, path)
	holder := map[string]string{} // package → requester
	for round := range claimKills {
		claimAndKill(t, path, round, 3+round*round%40, holder)
		if t.Failed() {
			return
		}
	}
	if len(holder) < claimKills {
		t.Errorf("only %d packages were handed out", len(holder))
	}
	s := open(t, options(path))
	for o := range claimed {
		pool, err := s.Pool(t.Context(), inbox.Owner(strconv.Itoa(o)))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pool.Packages {
			if _, told := holder[p.ID]; told && !p.Held(time.Now()) {
				t.Errorf("package %s was handed out and is not reserved", p.ID)
			}
		}
	}
	t.Logf("%d kills, %d packages handed out", claimKills, len(holder))
}

func fill(t *testing.T, path string) {
	t.Helper()
	s, err := storage.Open(options(path))
	if err != nil {
		t.Fatal(err)
	}
	d := inboxtest.NewDirectory(s, time.Now)
	for o := range claimed {
		client := inboxtest.NewClient("https://social.example/users/"+strconv.Itoa(o), time.Now())
		inboxtest.Fill(t, d, inbox.Owner(strconv.Itoa(o)), client, perPerson)
	}
	closeStore(t, s)
}

func claimAndKill(t *testing.T, path string, round, acks int, holder map[string]string) {
	t.Helper()
	child, out := spawn(t, claimerPath+"="+path, fmt.Sprintf("%s_ROUND=%d", claimerPath, round))
	guard := time.AfterFunc(20*time.Second, func() { child.Process.Kill() })
	defer guard.Stop()
	lines := bufio.NewReader(out)
	for n := 0; ; n++ {
		if n == acks {
			child.Process.Kill() // what is already in the pipe still counts
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a torn last line told nobody anything
		}
		var who, id string
		if _, err := fmt.Sscan(line, &who, &id); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if other, twice := holder[id]; twice {
			t.Errorf("round %d: package %s went to %s after %s", round, id, who, other)
		}
		holder[id] = who
	}
	child.Wait() // the kill is its error
}
