package storage_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/storage"
)

func entryOf(id string, at time.Time) policy.Entry {
	c := rules.Given()
	c.Actor = rules.Actor{ID: "https://a.example/users/alice", Domain: "a.example"}
	c.Recipient, c.Group.ID, c.Msg = "4711", "\x01\x02", rules.Msg{Kind: rules.KindWelcome, Bytes: 4097}
	return policy.Entry{
		ID: id, Time: at, Case: c, Action: rules.Hold, Rule: "strangers-wait", Mode: rules.Enforce, Policy: "abc",
		Knock: policy.Knock{Actor: c.Actor.ID, Activity: id, Recipient: c.Recipient}, RetryAfter: time.Minute, Sticky: true, Logged: true,
	}
}

func entries(t *testing.T, s *storage.Store, since time.Time) []policy.Entry {
	t.Helper()
	var all []policy.Entry
	err := s.Entries(t.Context(), since, func(e policy.Entry) bool { all = append(all, e); return true })
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestVerdictsSurviveARestart(t *testing.T) {
	o := options(t.TempDir())
	s := open(t, o)
	e := entryOf(policy.FirstDecisionID(time.Now()), time.Now())
	if err := s.Record(t.Context(), []policy.Entry{e}); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = open(t, o)
	d, ok, err := s.Verdict(t.Context(), e.Knock)
	if want := (policy.Decision{ID: e.ID, Action: rules.Hold, Rule: "strangers-wait", RetryAfter: time.Minute}); d != want || !ok || err != nil {
		t.Errorf("%+v %v %v", d, ok, err)
	}
	for _, k := range []policy.Knock{{}, {Actor: e.Knock.Actor, Activity: e.ID}, {Actor: e.Knock.Actor, Activity: e.ID + "4", Recipient: "711"}} {
		if _, ok, err := s.Verdict(t.Context(), k); ok || err != nil {
			t.Errorf("%+v has a verdict: %v", k, err)
		}
	}
}

// The log names the sender's domain and nobody else, in the store, too: a person keeps one hash for a day.
func TestTheDecisionLogNamesNobody(t *testing.T) {
	s := open(t, options(t.TempDir()))
	begin := time.Date(2026, 11, 25, 23, 0, 0, 0, time.UTC)
	var batch []policy.Entry
	for i := range 3 { // 23:00, 23:30 and, on the next day, 0:00
		at := begin.Add(time.Duration(i) * 30 * time.Minute)
		batch = append(batch, entryOf(policy.FirstDecisionID(at), at))
	}
	if err := s.Record(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	got := entries(t, s, begin.Add(time.Second))
	if len(got) != 2 || !got[0].Time.Equal(batch[1].Time) {
		t.Fatalf("%d entries since then", len(got))
	}
	got = entries(t, s, begin)
	first, second, third := got[0].Case, got[1].Case, got[2].Case
	if first.Actor.ID != second.Actor.ID || first.Recipient != second.Recipient || first.Group != second.Group {
		t.Error("one day has two hashes for one person")
	}
	if third.Actor.ID == second.Actor.ID || third.Recipient == second.Recipient || third.Group == second.Group {
		t.Error("a hash is the same on the next day")
	}
	text := fmt.Sprintf("%+v", got)
	if strings.Contains(text, "alice") || strings.Contains(text, "4711") || !strings.Contains(text, "a.example") || first.Msg.Bytes != 8192 {
		t.Errorf("%s", text)
	}
	for _, name := range []string{"alice", "4711"} {
		if n, err := s.RowsWith(name); err != nil || n != 0 {
			t.Errorf("%d rows of the store have %q, %v", n, name, err)
		}
	}
}

func TestOnlyWhatIsLoggedIsInTheLog(t *testing.T) {
	s := open(t, options(t.TempDir()))
	now := time.Now()
	silent, fleeting := entryOf("a", now), entryOf("b", now)
	silent.Logged, fleeting.Sticky = false, false
	if err := s.Record(t.Context(), []policy.Entry{silent, fleeting}); err != nil {
		t.Fatal(err)
	}
	if got := entries(t, s, time.Time{}); len(got) != 1 || got[0].ID != "b" {
		t.Errorf("%+v", got)
	}
	if _, ok, _ := s.Verdict(t.Context(), fleeting.Knock); ok {
		t.Error("a verdict that should not be sticky is")
	}
}

// TestEntriesInPieces: more than one transaction takes are all there, in order, and as many are read as are wanted.
func TestEntriesInPieces(t *testing.T) {
	s := open(t, options(t.TempDir()))
	begin := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	batch := make([]policy.Entry, 600)
	for i := range batch {
		at := begin.Add(time.Duration(i) * time.Second)
		batch[i] = entryOf(policy.FirstDecisionID(at), at)
	}
	if err := s.Record(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	got := entries(t, s, begin)
	if len(got) != len(batch) || !got[0].Time.Equal(begin) || !got[599].Time.Equal(batch[599].Time) {
		t.Fatalf("%d entries", len(got))
	}
	n := 0
	if err := s.Entries(t.Context(), begin, func(policy.Entry) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Errorf("%d entries were read, %v", n, err)
	}
	if _, ok, err := s.Verdict(t.Context(), batch[599].Knock); !ok || err != nil {
		t.Errorf("the last verdict: %v, %v", ok, err)
	}
}

func TestChangesAreBounded(t *testing.T) {
	s := open(t, options(t.TempDir()))
	for i := range 60 {
		at := time.Unix(1_800_000_000+int64(i), 0).UTC()
		c := policy.Change{ID: policy.FirstDecisionID(at), Time: at, Who: "file", Result: policy.Loaded, Policy: fmt.Sprint(i)}
		if err := s.AddChange(t.Context(), c, fmt.Append(nil, "policy ", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1003 { // drive out each other, and no change of the policy
		at := time.Unix(1_700_000_000+int64(i), 0).UTC()
		c := policy.Change{ID: policy.FirstDecisionID(at), Time: at, Kind: policy.Severing, Who: "owner", Result: fmt.Sprint("severed ", i)}
		if err := s.AddChange(t.Context(), c, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.Changes(t.Context())
	if err != nil || len(all) != 1060 || all[0].Policy != "59" || all[60].Result != "severed 1002" || all[1059].Result != "severed 3" {
		t.Fatalf("%d changes, %v", len(all), err)
	}
	all = all[:60]
	kept := 0
	for _, c := range all {
		text, err := s.Bundle(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		if text != nil {
			kept++
		}
	}
	if kept != 50 {
		t.Errorf("%d bundles are kept, want 50", kept)
	}
	if text, err := s.Bundle(t.Context(), all[0].ID); string(text) != "policy 59" || err != nil {
		t.Errorf("%q %v", text, err)
	}
	if err := s.AddChange(t.Context(), policy.Change{ID: "x"}, make([]byte, 1<<20), nil); err == nil {
		t.Error("a MiB was kept")
	}
}

// TestLongBundles: the newest is kept whole, whatever its length, until another policy is loaded.
func TestLongBundles(t *testing.T) {
	o := options(t.TempDir())
	s := open(t, o)
	change := func(id string, bundle, long []byte) {
		t.Helper()
		if err := s.AddChange(t.Context(), policy.Change{ID: id}, bundle, long); err != nil {
			t.Fatal(err)
		}
	}
	has := func(id string, want []byte) {
		t.Helper()
		if got, err := s.Bundle(t.Context(), id); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s has %d bytes, want %d: %v", id, len(got), len(want), err)
		}
	}
	long := make([]byte, 3<<20) // ends with a full part
	for n := range long {
		long[n] = byte(n >> 9)
	}
	for n, size := range []int{1 << 20, 3 << 20, 1<<20 + 1} {
		id := fmt.Sprint("c", n)
		change(id, []byte("short "+id), long[:size])
		change(id+"refused", nil, nil)
		has(id, long[:size])
		if n > 0 {
			has(fmt.Sprint("c", n-1), []byte("short c"+fmt.Sprint(n-1)))
		}
	}
	closeStore(t, s)
	s = open(t, o)
	has("c2", long[:1<<20+1])
	change("c3", []byte("short c3"), nil)
	has("c2", []byte("short c2"))
	has("c3", []byte("short c3"))
	if err := s.AddChange(t.Context(), policy.Change{ID: "x"}, []byte("p"), make([]byte, 33<<20)); err == nil {
		t.Error("33 MiB were kept")
	}
	has("c3", []byte("short c3"))
}

func mustSee(t *testing.T, s *storage.Store, domain string, now, want time.Time) {
	t.Helper()
	if got, err := s.FirstSeen(t.Context(), domain, now); err != nil || !got.Equal(want) {
		t.Errorf("%s: %v %v, want %v", domain, got, err, want)
	}
}

func TestDomainsAreRemembered(t *testing.T) {
	o := options(t.TempDir())
	s := open(t, o)
	begin := time.Unix(1_800_000_000, 0)
	mustSee(t, s, "a.example", begin, begin)
	closeStore(t, s)
	s = open(t, o)
	for days := range 5 {
		mustSee(t, s, "a.example", begin.AddDate(0, 0, 90*days), begin)
	}
	mustSee(t, s, "b.example", begin.AddDate(0, 0, 3), begin.AddDate(0, 0, 3))
}

// TestNewDomainsAreRationed: beyond what an hour may bring a domain stays new, until the next hour.
func TestNewDomainsAreRationed(t *testing.T) {
	s := open(t, options(t.TempDir()))
	begin := time.Unix(1_800_000_000, 0).Truncate(time.Hour)
	later := begin.Add(30 * time.Minute)
	s.SpendNewcomers(begin, 4999)
	mustSee(t, s, "last.example", begin, begin)
	mustSee(t, s, "late.example", begin, begin)
	mustSee(t, s, "last.example", later, begin)
	mustSee(t, s, "late.example", later, later) // it was not noted
	mustSee(t, s, "late.example", begin.Add(time.Hour), begin.Add(time.Hour))
	mustSee(t, s, "late.example", begin.Add(2*time.Hour), begin.Add(time.Hour))
}
