package policy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/storage"
)

const (
	holds = `version: 1
rules:
  - {name: wait, at: contact, when: 'msg.kind == "welcome"', then: hold}
`
	refuses = `version: 1
rules:
  - {name: no, at: contact, when: 'msg.kind == "welcome"', then: refuse}
`
	listing = `version: 1
lists: {bad: {csv: bad.csv}}
rules:
  - {name: listed, at: contact, when: 'actor.domain in lists.bad', then: ignore}
`
	broken = "version: 1\nrules:\n  - {name: a, at: group, then: refuse}\n"
)

// shelf is files in memory; "" is the policy.
type shelf struct {
	mu    sync.Mutex
	files map[string]string
}

func newShelf(text string) *shelf { return &shelf{files: map[string]string{"": text}} }

func (s *shelf) put(path, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = text
}

func (s *shelf) open(path string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text, ok := s.files[path]; ok {
		return []byte(text), nil
	}
	return nil, errors.New("open " + path + ": no such file or directory")
}

func (s *shelf) origin() policy.Origin {
	return policy.Origin{
		Name: "policy.yaml", Open: s.open,
		Read:  func() ([]byte, error) { return s.open("") },
		Write: func(text []byte) error { s.put("", string(text)); return nil },
	}
}

func openStore(t *testing.T, path string) *storage.Store {
	t.Helper()
	s, err := storage.Open(storage.Options{Path: path, Key: make([]byte, storage.KeySize), Retention: 30 * 24 * time.Hour, Quota: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openBook(t *testing.T, s *shelf, j policy.Journal) *policy.Book {
	t.Helper()
	b, err := policy.OpenBook(context.Background(), policy.BookOptions{Origin: s.origin(), Fallback: []byte(holds), Journal: j})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func first(b *policy.Book) string {
	if all := b.Current().Rules(); len(all) > 0 {
		return all[0].Name
	}
	return ""
}

func TestABadFileChangesNothing(t *testing.T) {
	s := newShelf(holds)
	b := openBook(t, s, nil)
	s.put("", broken)
	if _, err := b.Reload(t.Context(), "command"); err == nil || first(b) != "wait" {
		t.Fatalf("%q is in force: %v", first(b), err)
	}
	status := b.Status()
	if len(status.Failure) != 1 || status.Failure[0].Line != 3 || status.Failure[0].Column != 32 || status.FailedAt == nil || status.By != "start" {
		t.Errorf("%+v %+v", status, status.Failure)
	}
	s.put("", refuses)
	c, err := b.Reload(t.Context(), "command")
	if err != nil || first(b) != "no" || c.Result != policy.Loaded || b.Status().Failure != nil {
		t.Errorf("%q is in force: %+v, %v", first(b), c, err)
	}
	if !strings.Contains(c.Diff, "-  - {name: wait") || !strings.Contains(c.Diff, "+  - {name: no") || strings.Contains(c.Diff, "version") {
		t.Errorf("the diff is\n%s", c.Diff)
	}
	if _, err := b.Reload(t.Context(), "signal"); !errors.Is(err, policy.ErrSame) {
		t.Errorf("the same again: %v", err)
	}
}

// Within five seconds what was saved is in force, policy and lists alike, by their content.
func TestSavingIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(listing)
		s.put("bad.csv", "spam.example\n")
		b := openBook(t, s, nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		listed := func(domain string) bool { return len(b.Current().On(domain, time.Now())) > 0 }
		time.Sleep(5*time.Second + 1)
		if !listed("spam.example") || listed("worse.example") {
			t.Error("the list is not as written")
		}
		s.put("bad.csv", "worse.example\n")
		time.Sleep(5 * time.Second)
		if listed("spam.example") || !listed("worse.example") {
			t.Error("the list is not as saved: nothing was taken back")
		}
		s.put("", broken)
		time.Sleep(5 * time.Second)
		if first(b) != "listed" || b.Status().Failure == nil {
			t.Errorf("%q is in force", first(b))
		}
		s.put("", holds)
		time.Sleep(5 * time.Second)
		if first(b) != "wait" || b.Status().By != "file" {
			t.Errorf("%q is in force, by %s", first(b), b.Status().By)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A start with a bad file goes on with the last good one, lists included; with nothing before, the preset.
func TestTheLastGoodPolicySurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	s := newShelf(broken)
	if b := openBook(t, s, nil); first(b) != "wait" || b.Status().By != "fallback" || len(b.Status().Failure) == 0 {
		t.Errorf("with nothing before: %q, %+v", first(b), b.Status())
	}
	func() {
		store := openStore(t, dir)
		defer store.Close()
		s.put("", listing)
		s.put("bad.csv", "spam.example\n")
		openBook(t, s, store)
	}()
	for name, ruin := range map[string]func(){
		"a mistake": func() { s.put("", broken) },
		"no list":   func() { s.put("", listing); s.mu.Lock(); delete(s.files, "bad.csv"); s.mu.Unlock() },
		"no file":   func() { s.mu.Lock(); delete(s.files, ""); s.mu.Unlock() },
	} {
		ruin()
		store := openStore(t, dir)
		b := openBook(t, s, store)
		if first(b) != "listed" || len(b.Current().On("spam.example", time.Now())) != 1 {
			t.Errorf("%s: %q is in force", name, first(b))
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := policy.OpenBook(t.Context(), policy.BookOptions{Origin: s.origin(), Fallback: []byte(broken)}); err == nil {
		t.Error("a broken preset was put in force")
	}
}

// TestABadStartIsLoggedOnce: with what is wrong, and what is in force instead.
func TestABadStartIsLoggedOnce(t *testing.T) {
	var said bytes.Buffer
	b, err := policy.OpenBook(t.Context(), policy.BookOptions{
		Origin: newShelf(broken).origin(), Fallback: []byte(holds), Log: slog.New(slog.NewTextHandler(&said, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if text := said.String(); strings.Count(text, "level=ERROR") != 1 || strings.Count(text, "policy.yaml:3:32") != 1 || !strings.Contains(text, "started with another one") {
		t.Errorf("at the start:\n%s", text)
	}
	said.Reset()
	if _, err := b.Reload(t.Context(), "signal"); err == nil || strings.Count(said.String(), "level=ERROR msg=\"policy is not loaded") != 1 {
		t.Errorf("later, %v:\n%s", err, &said)
	}
}

// TestLongListsSurviveABadStart: also when policy and lists are bad; of what was in force before them, the policy
// is kept.
func TestLongListsSurviveABadStart(t *testing.T) {
	store := openStore(t, t.TempDir())
	s := newShelf(listing)
	random := rand.New(rand.NewPCG(1, 2))
	long := func() string {
		var text strings.Builder
		for range 50_000 {
			fmt.Fprintf(&text, "%x.example\n", random.Uint64())
		}
		return text.String()
	}
	s.put("bad.csv", long()+"first.example\n")
	openBook(t, s, store)
	s.put("bad.csv", long()+"second.example\n")
	b := openBook(t, s, store)
	changes, err := b.Changes(t.Context())
	if err != nil || len(changes) != 2 {
		t.Fatal(changes, err)
	}
	if text, err := b.Diff(t.Context(), changes[1].ID); err != nil || text != "its lists were long and are not kept\n" {
		t.Errorf("the older one differs by %q, %v", text, err)
	}
	if text, err := b.Diff(t.Context(), changes[0].ID); err != nil || text != "" {
		t.Errorf("what is in force differs from itself by %q, %v", text, err)
	}
	s.put("bad.csv", "\"")
	s.put("", broken)
	b = openBook(t, s, store)
	if on := b.Current().On("www.second.example", time.Now()); fmt.Sprint(on) != "[bad]" || first(b) != "listed" {
		t.Errorf("after a start with bad files it is on %v, by %s", on, first(b))
	}
	if lists := b.Status().Lists; len(lists) != 1 || lists[0].Domains != 50_001 {
		t.Errorf("%+v", lists)
	}
}

func TestHistoryAndRollback(t *testing.T) {
	s := newShelf(holds)
	store := openStore(t, t.TempDir())
	b := openBook(t, s, store)
	for _, text := range []string{refuses, broken, listing} {
		s.put("", text)
		s.put("bad.csv", "spam.example\n")
		_, _ = b.Reload(t.Context(), "command")
	}
	changes, err := b.Changes(t.Context())
	if err != nil || len(changes) != 4 {
		t.Fatalf("%d changes, %v", len(changes), err)
	}
	if c := changes[1]; c.Result == policy.Loaded || !strings.Contains(c.Result, "policy.yaml:3:32: rule a: refuse") {
		t.Errorf("the refused one: %+v", c)
	}
	if text, err := b.Diff(t.Context(), changes[3].ID); err != nil || !strings.Contains(text, "-  - {name: wait") || !strings.Contains(text, "bad.csv: 1 lines added, 0 taken back") {
		t.Errorf("since the first: %v\n%s", err, text)
	}
	s.put("", holds+"# a comment\n")
	if text, err := b.Diff(t.Context(), ""); err != nil || !strings.Contains(text, "+# a comment") {
		t.Errorf("what a reload would change: %v\n%s", err, text)
	}
	s.put("bad.csv", "other.example\n")
	if text, err := b.Diff(t.Context(), ""); err != nil || !strings.Contains(text, "bad.csv: 1 lines added, 1 taken back") {
		t.Errorf("one domain in the place of another: %v\n%s", err, text)
	}
	if _, err := b.Rollback(t.Context(), changes[1].ID, "command"); !errors.Is(err, policy.ErrNoChange) {
		t.Errorf("back to what never loaded: %v", err)
	}
	if c, err := b.Rollback(t.Context(), "", "command"); err != nil || first(b) != "no" || c.Who != "command" {
		t.Errorf("one back: %q, %v", first(b), err)
	}
	if text, _ := s.open(""); string(text) != refuses {
		t.Errorf("the file is\n%s", text)
	}
	if _, err := b.Rollback(t.Context(), changes[3].ID, "command"); err != nil || first(b) != "wait" {
		t.Errorf("the first again: %q, %v", first(b), err)
	}
	preset := s.origin()
	preset.Write = nil
	b, err = policy.OpenBook(t.Context(), policy.BookOptions{Origin: preset, Fallback: []byte(holds), Journal: store})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Rollback(t.Context(), "", "command"); !errors.Is(err, policy.ErrPreset) {
		t.Errorf("a preset was written over: %v", err)
	}
}

// A restart with the same policy is no change.
func TestARestartIsNoChange(t *testing.T) {
	store := openStore(t, t.TempDir())
	s := newShelf(holds)
	openBook(t, s, store)
	b := openBook(t, s, store)
	if changes, err := b.Changes(t.Context()); err != nil || len(changes) != 1 {
		t.Errorf("%d changes, %v", len(changes), err)
	}
}

// TestAListThatExpiresIsToldOf, once, though nobody loads anything.
func TestAListThatExpiresIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it begins on 2000-01-01
		text := `version: 1
lists: {old: {domains: [a.example], expires: 2000-01-02}}
rules: [{name: listed, at: contact, when: 'actor.domain in lists.old', then: ignore}]
`
		var log bytes.Buffer
		b, err := policy.OpenBook(t.Context(), policy.BookOptions{
			Origin: newShelf(text).origin(), Fallback: []byte(holds), Poll: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		told := func(want int) {
			t.Helper()
			synctest.Wait()
			if n := strings.Count(log.String(), "expired on 2000-01-02"); n != want || len(b.Status().Warnings) != want {
				t.Errorf("told %d times, %q; want %d\n%s", n, b.Status().Warnings, want, log.String())
			}
		}
		time.Sleep(47 * time.Hour)
		told(0)
		time.Sleep(2 * time.Hour)
		told(1)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
