package simulation_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/relay/forward"
	"github.com/sealgate/sealgate/relay/outbox"
	"github.com/sealgate/sealgate/relay/outbox/outboxtest"
)

// steps of one simulation, before everything settles.
const steps = 250

// result is the hash of a simulation's trace, and how often what happened.
type result struct {
	trace   string
	counted map[string]int
}

// run simulates one seed. Its error is the first broken invariant.
func run(t *testing.T, seed uint64, bug bug) (got result, err error) {
	t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, seed)
		web, failed := forward.NewUpstream(forward.UpstreamOptions{URL: "http://127.0.0.1:1"}) // never dialled
		if failed != nil {
			t.Fatal(failed)
		}
		defer func() { _ = web.Close() }()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, web, seed, bug)
			defer w.close()
			for n := 0; n < steps && w.err == nil; n++ {
				w.step()
			}
			if w.err == nil {
				w.settle()
			}
			got, err = result{hex.EncodeToString(w.trace.Sum(nil)), w.counted}, w.err
		})
	})
	return got, err
}

// TestSeeds: whatever is drawn, every invariant holds. SEALGATE_SEEDS is how many seeds.
func TestSeeds(t *testing.T) {
	n := 300
	if text := os.Getenv("SEALGATE_SEEDS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal("SEALGATE_SEEDS is a number of seeds")
		}
	}
	all := map[string]int{}
	for seed := range uint64(n) {
		got, err := run(t, seed, nil)
		if err != nil {
			t.Errorf("seed %d: %v; SEALGATE_SEED=%d go test -v -run OneSeed shows how", seed, err, seed)
		}
		for what, times := range got.counted {
			all[what] += times
		}
	}
	t.Log(all)
}

// TestOneSeed replays SEALGATE_SEED, with -v event by event.
func TestOneSeed(t *testing.T) {
	seed, _ := strconv.ParseUint(os.Getenv("SEALGATE_SEED"), 10, 64)
	if got, err := run(t, seed, nil); err != nil {
		t.Errorf("seed %d, trace %s: %v", seed, got.trace, err)
	}
}

// TestReplay: the same seed gives the same trace.
func TestReplay(t *testing.T) {
	for seed := range uint64(10) {
		first, _ := run(t, seed, nil)
		second, _ := run(t, seed, nil)
		if first.trace != second.trace {
			t.Errorf("seed %d: two traces, %s and %s", seed, first.trace, second.trace)
		}
	}
}

// bug spoils what a gateway sees of its disk.
type bug func(*disk)

// TestEveryInvariantCatchesItsBug: what the simulation is for.
func TestEveryInvariantCatchesItsBug(t *testing.T) {
	for invariant, bug := range map[string]bug{
		lost:    func(d *disk) { d.mail = &losing{Memory: memoryOf(d)} },
		twice:   func(d *disk) { d.mail = &forgetful{Memory: memoryOf(d)} },
		order:   func(d *disk) { d.queue = &lifo{Memory: d.queue.(*outboxtest.Memory)} },
		claims:  func(d *disk) { d.keys = &generous{KeyMemory: d.keys.(*inboxtest.KeyMemory)} },
		foreign: func(d *disk) { d.mail = &careless{Memory: memoryOf(d)} },
		limit:   func(d *disk) { memoryOf(d).Quota = 0 },
		waits:   func(d *disk) { d.mail = &hasty{Memory: memoryOf(d)} },
		expired: func(d *disk) { d.keys = &stale{KeyMemory: d.keys.(*inboxtest.KeyMemory)} },
	} {
		t.Run(invariant, func(t *testing.T) {
			for seed := range uint64(40) {
				_, err := run(t, seed, bug)
				var v *violation
				if err == nil {
					continue
				}
				if !errors.As(err, &v) || v.invariant != invariant {
					t.Fatalf("seed %d: %v, which is not what was seeded", seed, err)
				}
				t.Logf("seed %d: %v", seed, err)
				return
			}
			t.Error("40 seeds did not find it")
		})
	}
}

func memoryOf(d *disk) *inboxtest.Memory { return d.queue.(*outboxtest.Memory).Mail }

// losing acknowledges now and then what it does not keep.
type losing struct {
	*inboxtest.Memory
	n int
}

func (s *losing) Append(ctx context.Context, ms []inbox.Message) ([]inbox.Result, error) {
	if s.n++; s.n%10 == 0 {
		return make([]inbox.Result, len(ms)), nil
	}
	return s.Memory.Append(ctx, ms)
}

// forgetful does not know what it has seen.
type forgetful struct{ *inboxtest.Memory }

func (s *forgetful) Append(ctx context.Context, ms []inbox.Message) ([]inbox.Result, error) {
	results, err := s.Memory.Append(ctx, ms)
	for i, r := range results {
		if errors.Is(r.Err, inbox.ErrDuplicate) {
			ms[i].Actor += "#again"
			_, err = s.Memory.Append(ctx, ms[i:i+1])
		}
	}
	return results, err
}

// lifo sends what came last first.
type lifo struct{ *outboxtest.Memory }

func (s *lifo) Next(ctx context.Context, behind outbox.Place, _ int) ([]outbox.Delivery, error) {
	all, err := s.Memory.Next(ctx, outbox.Place{Lane: behind.Lane}, 1000)
	slices.Reverse(all)
	return all[:min(1, len(all))], err
}

// generous forgets who holds a package.
type generous struct{ *inboxtest.KeyMemory }

func (s *generous) ChangePool(ctx context.Context, o inbox.Owner, f func(*inbox.Change) error) error {
	return s.KeyMemory.ChangePool(ctx, o, func(c *inbox.Change) error {
		err := f(c)
		for i := range c.Packages {
			c.Packages[i].Hold = inbox.Hold{}
		}
		return err
	})
}

// hasty lets nobody wait.
type hasty struct{ *inboxtest.Memory }

func (s *hasty) Append(ctx context.Context, ms []inbox.Message) ([]inbox.Result, error) {
	for i := range ms {
		ms[i].Fate = inbox.Kept
	}
	return s.Memory.Append(ctx, ms)
}

// stale believes that packages last.
type stale struct{ *inboxtest.KeyMemory }

func (s *stale) ChangePool(ctx context.Context, o inbox.Owner, f func(*inbox.Change) error) error {
	return s.KeyMemory.ChangePool(ctx, o, func(c *inbox.Change) error {
		err := f(c)
		for i := range c.Packages {
			c.Packages[i].NotAfter = time.Now().AddDate(1, 0, 0)
		}
		return err
	})
}

// careless gives a message to its owner's neighbour, too.
type careless struct{ *inboxtest.Memory }

func (s *careless) Append(ctx context.Context, ms []inbox.Message) ([]inbox.Result, error) {
	results, err := s.Memory.Append(ctx, ms)
	other := ms[0]
	other.Owner = map[inbox.Owner]inbox.Owner{"1": "2", "2": "1"}[other.Owner]
	if err == nil && other.Owner != "" {
		_, err = s.Memory.Append(ctx, []inbox.Message{other})
	}
	return results, err
}

func welcomeFor(ref []byte) string { return base64.StdEncoding.EncodeToString(inboxtest.Welcome(ref)) }
