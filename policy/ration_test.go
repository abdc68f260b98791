package policy_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/ratelimit"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/policy/signature"
)

// TestVerdictsAreRationed: of an hour's knocks 50,000 verdicts are kept, the others are counted, and the next hour begins anew.
func TestVerdictsAreRationed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &counting{}
		b := newBench(t, holds, j, policy.Options{})
		for n := range 50_100 {
			b.Decide(t.Context(), invitation(n))
			if n%4096 == 0 {
				synctest.Wait() // what is pending is written
			}
		}
		time.Sleep(time.Hour)
		b.Decide(t.Context(), invitation(60_000))
		b.rest()
		if dropped := counted(t, b.reg, "sealgate_policy_unrecorded_total", "verdicts"); j.sticky != 50_001 || dropped != 100 {
			t.Errorf("%d verdicts are kept, %v were dropped", j.sticky, dropped)
		}
	})
}

// TestTheGateHasDefaults: without budgets of its own it has those of the documentation.
func TestTheGateHasDefaults(t *testing.T) {
	p := newPeer(t)
	h := newHouse(t, nil, func(o *policy.Options) { o.FailedSignatures = ratelimit.Rate{} })
	for n := range 3000 {
		if _, err := h.Admit(t.Context(), h.arrival(t, p.actor()+"#main-key", aliceKey, signature.Cavage)); err != nil {
			t.Fatal(n, err)
		}
	}
	if _, err := h.Admit(t.Context(), h.arrival(t, p.actor()+"#main-key", aliceKey, signature.Cavage)); !strings.Contains(fmt.Sprint(err), "limits.signed_requests") {
		t.Errorf("the 3,001st in a minute: %v", err)
	}
	unsigned := policy.Arrival{Request: signature.Request{Method: "POST", Target: "/inbox", Host: domain}, Client: netip.MustParseAddr("192.0.2.1")}
	for n := range 11 {
		_, err := h.Admit(t.Context(), unsigned)
		if limited := strings.Contains(fmt.Sprint(err), "limits.failed_signatures"); limited != (n == 10) {
			t.Errorf("failure %d in a minute: %v", n+1, err)
		}
	}
}

// TestListsTooLongToKeep: a policy whose lists take more than 32 MiB packed is in force, with a warning; after a start
// with bad files it is the preset's turn, for the policy is nothing without its lists.
func TestListsTooLongToKeep(t *testing.T) {
	store, s := openStore(t, t.TempDir()), newShelf(listing)
	random := make([]byte, 34<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	var text strings.Builder
	for piece := range slices.Chunk(random, 768) { // comments, which are kept and quickly read
		text.WriteString("#" + base64.StdEncoding.EncodeToString(piece) + "\n")
	}
	s.put("bad.csv", text.String()+"spam.example\n")
	var said bytes.Buffer
	b, err := policy.OpenBook(t.Context(), policy.BookOptions{Origin: s.origin(), Fallback: []byte(refuses), Journal: store, Log: slog.New(slog.NewTextHandler(&said, nil))})
	if err != nil || len(b.Current().On("spam.example", time.Now())) != 1 {
		t.Fatalf("%v; on no list", err)
	}
	if !strings.Contains(said.String(), "too long to be kept") {
		t.Errorf("not told: %s", said.String())
	}
	changes, err := b.Changes(t.Context())
	if err != nil || len(changes) != 1 {
		t.Fatalf("%+v, %v", changes, err)
	}
	if kept, err := b.Text(t.Context(), changes[0].ID); err != nil || string(kept) != listing {
		t.Errorf("of the policy is kept: %q, %v", kept, err)
	}
	s.put("", broken)
	b, err = policy.OpenBook(t.Context(), policy.BookOptions{Origin: s.origin(), Fallback: []byte(refuses), Journal: store})
	if err != nil || first(b) != "no" {
		t.Errorf("after a start with bad files %q is in force, %v", first(b), err)
	}
}

// TestReplayTellsFlipsApart: by place, kind, and what was and would be decided.
func TestReplayTellsFlipsApart(t *testing.T) {
	store := openStore(t, t.TempDir())
	b := newBench(t, `version: 1
rules:
  - {name: big, at: contact, when: 'msg.bytes > 5000', then: hold}
  - {name: large, at: group, when: 'msg.bytes > 5000', then: hide}
`, store, policy.Options{})
	ask := func(n, times, bytes int, at rules.Stage, kind string) {
		for i := range times {
			q := invitation(1000*n + i)
			q.At, q.Msg.Kind, q.Msg.Bytes = at, kind, bytes
			b.Decide(t.Context(), q)
		}
	}
	ask(1, 5, 1000, rules.Contact, rules.KindWelcome)
	ask(2, 4, 9000, rules.Contact, rules.KindWelcome)
	ask(3, 3, 1000, rules.Group, "commit")
	ask(4, 2, 1000, rules.Group, "application")
	ask(5, 1, 9000, rules.Group, "application")
	b.rest()
	next := []byte("version: 1\nrules:\n  - {name: all, at: contact, then: ignore}\n  - {name: every, at: group, then: hide}\n")
	r, err := b.book.Replay(t.Context(), time.Now().Add(-time.Hour), policy.Candidate{Name: "next", Text: next})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range r.Flips {
		got = append(got, fmt.Sprintf("%d %s %s: %s, %s", f.Count, f.At, f.Kind, f.Was, f.Now))
	}
	want := []string{
		"5 contact welcome: allow, ignore by all", "4 contact welcome: hold by big, ignore by all", "3 group commit: allow, hide by every",
		"2 group application: allow, hide by every", "1 group application: hide by large, hide by every",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// wave is a log in which so many senders knock three times each, in turns.
type wave struct {
	counting
	senders int
}

func (w *wave) Entries(_ context.Context, _ time.Time, do func(policy.Entry) bool) error {
	for n := range 3 * w.senders {
		c := rules.Given()
		c.Actor.ID, c.Msg = fmt.Sprint(n%w.senders), rules.Msg{Kind: rules.KindWelcome, KeyIsOurs: true}
		do(policy.Entry{Case: c, Time: time.Unix(1_800_000_000, int64(n))})
	}
	return nil
}

// TestReplayForgetsNobody whom the limits in force would know: a replay of a wave says what they do.
func TestReplayForgetsNobody(t *testing.T) {
	b := newBench(t, two, &wave{senders: 10_000}, policy.Options{})
	r, err := b.book.Replay(t.Context(), time.Time{}, policy.Candidate{Name: "next", Text: []byte("version: 1\n")})
	if err != nil || r.Entries != 30_000 || len(r.Flips) != 1 || r.Flips[0].Count < 9_990 {
		t.Errorf("%+v, %v", r, err)
	}
}
