package intake_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sealgate/sealgate/configs"
	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay/intake"
	"github.com/sealgate/sealgate/storage"
)

// ruled decides by a real policy.
type ruled struct {
	policy  *rules.Policy
	rel     rules.Rel
	now     func() time.Time
	actions map[rules.Action]int
}

func (g *ruled) Decide(_ context.Context, q policy.Question) policy.Decision {
	v := g.policy.Decide(&rules.Case{At: q.At, Actor: rules.Actor{ID: q.Actor, FirstSeenDays: 0}, Rel: g.rel, Msg: q.Msg, Group: q.Group, Recipient: q.Account}, g.now())
	g.actions[v.Action]++
	return policy.Decision{ID: "d", Action: v.Action, Rule: v.Rule, RetryAfter: v.RetryAfter}
}

func parse(t *testing.T, body string) *activity.Activity {
	t.Helper()
	a, err := activity.Parse([]byte(body), activity.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// invitation is a Welcome as large as a real one for a group of some.
func invitation(actor, id string, ref []byte) string {
	return fmt.Sprintf(`{"id":"%s/a/%s","type":"Create","actor":%q,"to":["https://social.example/users/x"],"object":{"type":"Welcome","attributedTo":%q,`+
		`"mediaType":"message/mls","encoding":"base64","content":%q}}`, actor, id, actor, actor, base64.StdEncoding.EncodeToString(inboxtest.Welcome(ref)))
}

// counted is the real gate, and what it answered.
type counted struct {
	*policy.Gate
	actions map[rules.Action]int
}

func (g *counted) Decide(ctx context.Context, q policy.Question) policy.Decision {
	d := g.Gate.Decide(ctx, q)
	g.actions[d.Action]++
	return d
}

// realGate decides by a policy, with the store for a journal. Everybody is a stranger.
func realGate(t *testing.T, text []byte, store *storage.Store, now func() time.Time) *counted {
	t.Helper()
	book, err := policy.OpenBook(t.Context(), policy.BookOptions{
		Origin: policy.Origin{Name: "policy.yaml", Read: func() ([]byte, error) { return text, nil }}, Fallback: text, Journal: store, Clock: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	g := policy.New(policy.Options{Domain: "social.example", Book: book, Journal: store, Clock: now})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &counted{g, map[rules.Action]int{}}
}

// TestSpamWave: strangers on fresh hosts invite everybody they can, under the preset normal, some to different
// people and some all to the same. SEALGATE_TEST_WAVE=1 makes it the wave of docs/policy.md.
func TestSpamWave(t *testing.T) {
	strangers, hosts, people := 200, 40, 20
	if os.Getenv("SEALGATE_TEST_WAVE") != "" {
		strangers, hosts, people = 10_000, 1000, 500
	}
	clock := inboxtest.NewClock()
	dir := t.TempDir()
	store, err := storage.Open(storage.Options{Path: dir, Key: make([]byte, storage.KeySize), Retention: 30 * 24 * time.Hour, Quota: 128 << 20, Share: 32 << 20, Clock: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	in := inbox.New(inbox.Options{Store: store, Clock: clock.Now})
	keys := inboxtest.NewDirectory(store, clock.Now)
	text, err := configs.Preset("normal")
	if err != nil {
		t.Fatal(err)
	}
	gate := realGate(t, text, store, clock.Now)
	door := intake.New(intake.Options{Gate: gate, Inbox: in, Keys: keys, Clock: clock.Now})
	owners, refs := make([]inbox.Owner, people), make([][]byte, people)
	for i := range owners {
		owners[i] = inbox.Owner(fmt.Sprint(i))
		actor := "https://social.example/users/" + fmt.Sprint(i)
		refs[i] = inboxtest.Fill(t, keys, owners[i], inboxtest.NewClient(actor, clock.Now()), 1)[0].Ref
	}
	invite := func(actor string, to int) inbox.Result {
		ruling, err := door.Judge(t.Context(), inbox.Delivery{
			Signer: actor, Activity: parse(t, invitation(actor, fmt.Sprint(to), refs[to])), Owners: owners[to : to+1],
		})
		if err != nil {
			t.Fatal(err)
		}
		rs, err := in.Keep(t.Context(), ruling.Messages)
		if err != nil || ruling.Outcome(rs) != nil {
			t.Fatal(err, ruling.Outcome(rs))
		}
		if len(rs) == 0 {
			return inbox.Result{}
		}
		return rs[0]
	}
	early := "https://small.example/users/honest"
	invite(early, 0)
	begin := time.Now()
	sent := 0
	for n := range strangers {
		actor := fmt.Sprintf("https://fresh%d.example/users/%d", n%hosts, n)
		first := n * 7 % people
		if n%2 == 0 {
			first = 0 // every second one begins with the same people
		}
		for k := range min(people, 20) {
			invite(actor, (first+k)%people)
			sent++
		}
		clock.Advance(time.Second)
	}
	took := time.Since(begin)
	late := "https://tiny.example/users/honest"
	if r := invite(late, 0); !r.Waits {
		t.Errorf("the honest stranger's request: %+v", r)
	}
	var seen []int // requests that each person sees
	bytes := int64(0)
	for i, o := range owners {
		all, err := in.Requests(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, len(all))
		for _, w := range all {
			bytes += w.Bytes
		}
		if u, err := in.Usage(t.Context(), o); err != nil || u.Total != 0 {
			t.Errorf("person %d has mail: %+v, %v", i, u, err)
		}
	}
	slices.Sort(seen)
	if most := seen[people-1]; most > 1024 {
		t.Errorf("somebody has %d requests", most)
	}
	all, _ := in.Requests(t.Context(), owners[0])
	honest := 0
	for _, w := range all {
		if w.Actor == early || w.Actor == late {
			honest++
		}
	}
	if honest != 2 {
		t.Errorf("%d of 2 honest strangers wait among %d", honest, len(all))
	}
	if err := in.AcceptRequest(t.Context(), owners[0], inbox.RequestID(late)); err != nil {
		t.Error(err)
	}
	if u, err := in.Usage(t.Context(), owners[0]); err != nil || u.Total != 1 {
		t.Errorf("after accepting: %+v, %v", u, err)
	}
	t.Logf("%d strangers on %d hosts sent %d invitations to %d people in %v (%v each): %v; requests of one person %d to %d, half of them at most %d, nine tenths at most %d; %d bytes wait, %d on disk",
		strangers, hosts, sent, people, took.Round(time.Millisecond), (took / time.Duration(sent)).Round(time.Microsecond), gate.actions,
		seen[0], seen[people-1], seen[people/2], seen[people*9/10], bytes, onDisk(t, dir))
}

// onDisk is how many bytes the files below dir have.
func onDisk(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		var s syscall.Stat_t
		err = syscall.Stat(path, &s)
		n += s.Blocks * 512 // Badger's logs are sparse
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return n
}

// FuzzNoPolicyLosesAMessage makes up policies of every rule that loads and sends what members of a joined group send.
// Whatever the policy: it is delivered, or waits and is let go.
func FuzzNoPolicyLosesAMessage(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7})
	f.Add([]byte("every rule there is, in some order or other"))
	f.Add([]byte{255, 254, 9, 9, 9, 0, 0, 0, 17, 33, 80, 120})
	f.Fuzz(func(t *testing.T, seed []byte) {
		clock := inboxtest.NewClock()
		p, err := rules.Parse(rules.Source{Name: "policy.yaml", Text: []byte(madeUp(seed)), Now: clock.Now()})
		if err != nil {
			return // it does not load
		}
		store := &inboxtest.Memory{Clock: clock.Now}
		in := inbox.New(inbox.Options{Store: store, Clock: clock.Now})
		rels := []rules.Rel{rules.Blocked, rules.Stranger, rules.Muted, rules.Mutual, rules.Limited}
		gate := &ruled{p, rels[len(seed)%len(rels)], clock.Now, map[rules.Action]int{}}
		door := intake.New(intake.Options{Gate: gate, Inbox: in, Clock: clock.Now})
		actor := "https://peer.example/users/member"
		if err := store.Learn(t.Context(), inbox.Lesson{Owner: "1", Group: []byte("g"), Members: []string{actor}}); err != nil {
			t.Fatal(err)
		}
		for n := range 12 {
			content := inboxtest.Private(inboxtest.Application+byte(n%3), "g", uint64(n), "c") // or a proposal, or a commit
			body := fmt.Sprintf(`{"id":"%s/%d","type":"Create","actor":%q,"to":["https://social.example/users/x"],"object":{"type":"PrivateMessage",`+
				`"mediaType":"message/mls","encoding":"base64","content":%q}}`, actor, n, actor, base64.StdEncoding.EncodeToString(content))
			ruling, err := door.Judge(t.Context(), inbox.Delivery{Signer: actor, Activity: parse(t, body), Owners: []inbox.Owner{"1"}})
			if err != nil {
				t.Fatal(err)
			}
			if rs, err := in.Keep(t.Context(), ruling.Messages); err != nil || ruling.Outcome(rs) != nil || len(rs) != 1 {
				t.Fatalf("message %d: %+v, %v, %v under\n%s", n, rs, err, ruling.Outcome(rs), madeUp(seed))
			}
		}
		clock.Advance(2 * time.Hour)
		if _, err := in.LetGo(t.Context()); err != nil {
			t.Fatal(err)
		}
		es, err := in.After(t.Context(), "1", 0, 100)
		if err != nil || len(es) != 12 {
			t.Fatalf("%d of 12 arrived, %v, under\n%s", len(es), err, madeUp(seed))
		}
		for i, e := range es {
			if e.Epoch != uint64(i) {
				t.Fatalf("epoch %d at place %d under\n%s", e.Epoch, i, madeUp(seed))
			}
		}
	})
}

// madeUp is a policy whose rules the seed picks.
func madeUp(seed []byte) string {
	stages := []string{"contact", "group", "send"}
	actions := []string{"allow", "hold", "ignore", "refuse", "retry-later", "last-resort", "hide", "slow"}
	conditions := []string{"true", `rel == "blocked"`, `msg.kind == "commit"`, "msg.bytes > 100", "!group.joined", "group.joined", `msg.kind != "welcome"`}
	var b strings.Builder
	b.WriteString("version: 1\nlimits: {few: {max: 2, every: 1h, per: [actor]}}\nrules:\n")
	for n := 0; n+3 < len(seed) && n < 60; n += 4 {
		limit := ""
		if seed[n+3]%2 == 1 {
			limit = ", limit: few"
		}
		fmt.Fprintf(&b, "  - {name: r%d, at: %s, when: '%s', then: %s%s}\n", n, stages[int(seed[n])%len(stages)],
			conditions[int(seed[n+1])%len(conditions)], actions[int(seed[n+2])%len(actions)], limit)
	}
	return b.String()
}
