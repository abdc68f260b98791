package storage_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/storage"
)

func TestRegister(t *testing.T) {
	o := options(t.TempDir())
	s := open(t, o)
	alice := mastodon.Person{
		Account: "42", Name: "Alice", Actor: "https://social.example/users/alice",
		Inbox: "https://social.example/users/alice/inbox", Outbox: "https://social.example/users/alice/outbox",
	}
	fortyTwo := mastodon.Person{Account: "7", Name: "42", Actor: "https://social.example/users/42"}
	for _, p := range []mastodon.Person{alice, fortyTwo, alice} {
		if err := s.Remember(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	s = open(t, o)
	for _, p := range []mastodon.Person{alice, fortyTwo} {
		for _, id := range p.Keys() {
			recalls(t, s, id, p)
		}
	}
	if _, err := s.Recall(t.Context(), "@bob"); !errors.Is(err, mastodon.ErrNoPerson) {
		t.Errorf("unknown: %v", err)
	}

	renamed := alice
	renamed.Name = "alicia"
	if err := s.Remember(t.Context(), renamed); err != nil {
		t.Fatal(err)
	}
	recalls(t, s, "@alicia", renamed)
	recalls(t, s, "#42", renamed)
	if p, err := s.Recall(t.Context(), "@alice"); !errors.Is(err, mastodon.ErrNoPerson) {
		t.Errorf("a former name: %+v, %v", p, err)
	}
}

func recalls(t *testing.T, s *storage.Store, id string, want mastodon.Person) {
	t.Helper()
	if got, err := s.Recall(t.Context(), id); err != nil || got != want {
		t.Errorf("Recall(%q) = %+v, %v, want %+v", id, got, err, want)
	}
}

// TestPeople: everybody is listed once, however many names lead to them.
func TestPeople(t *testing.T) {
	s := open(t, options(t.TempDir()))
	for _, p := range []mastodon.Person{somebody("alice", "1"), somebody("bob", "2"), somebody("alicia", "1")} {
		if err := s.Remember(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	people, err := s.People(t.Context())
	slices.SortFunc(people, func(a, b mastodon.Person) int { return strings.Compare(a.Account, b.Account) })
	if want := []mastodon.Person{somebody("alicia", "1"), somebody("bob", "2")}; err != nil || !slices.Equal(people, want) {
		t.Errorf("%+v, %v", people, err)
	}
}

func TestValues(t *testing.T) {
	s := open(t, options(t.TempDir()))
	if _, err := s.Kept(t.Context(), "key"); !errors.Is(err, storage.ErrNotKept) {
		t.Errorf("nothing kept: %v", err)
	}
	for _, want := range [][]byte{[]byte("one"), []byte("two"), {}} {
		if err := s.Keep(t.Context(), "key", want); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Kept(t.Context(), "key"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if err := s.Keep(t.Context(), "key", make([]byte, 1<<20)); err == nil {
		t.Error("a MiB was kept")
	}
}
