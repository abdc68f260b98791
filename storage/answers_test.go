package storage_test

import (
	"errors"
	"testing"

	"github.com/sealgate/sealgate/policy/mastodon"
)

func TestAnswersOfTheInstance(t *testing.T) {
	o := options(t.TempDir())
	s := open(t, o)
	if _, err := s.KeptAnswer(t.Context(), "1", "self"); !errors.Is(err, mastodon.ErrNotKept) {
		t.Errorf("nothing kept: %v", err)
	}
	const secret = "https://troll.example/users/in-the-clear"
	for _, about := range []string{"self", secret, ""} {
		if err := s.KeepAnswer(t.Context(), "1", about, []byte(about+secret)); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	checkNotInFiles(t, o.Path, secret)
	s = open(t, o)
	for _, about := range []string{"self", secret, ""} {
		if got, err := s.KeptAnswer(t.Context(), "1", about); err != nil || string(got) != about+secret {
			t.Errorf("%q: %q %v", about, got, err)
		}
	}
	if _, err := s.KeptAnswer(t.Context(), "1s", "elf"); !errors.Is(err, mastodon.ErrNotKept) {
		t.Errorf("another's: %v", err)
	}
	if err := s.KeepAnswer(t.Context(), "1", "self", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.KeptAnswer(t.Context(), "1", "self"); !errors.Is(err, mastodon.ErrNotKept) {
		t.Errorf("taken away: %v", err)
	}
	if err := s.KeepAnswer(t.Context(), "1", "self", make([]byte, 1<<20)); err == nil {
		t.Error("a value of 1 MiB is kept")
	}
}
