package mastodon_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sealgate/sealgate/policy/mastodon"
)

// TestARoundAsksAboutSoMany: what is remembered costs nothing, whatever its age.
func TestARoundAsksAboutSoMany(t *testing.T) {
	const lookup = "/api/v1/accounts/lookup"
	d := newDouble(t)
	i, c, _ := newInstance(t, d.URL, "")
	if _, err := i.Person(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	c.turn(11 * time.Minute)
	before, round := d.count(lookup), i.Round()
	for n := range 300 {
		want := mastodon.ErrNoPerson
		if n >= 100 {
			want = mastodon.ErrAsked
		}
		if _, err := round.Person(t.Context(), fmt.Sprintf("https://social.example/users/nobody%d", n)); !errors.Is(err, want) {
			t.Fatalf("person %d: %v, want %v", n, err, want)
		}
	}
	for _, id := range []string{"alice", alice} {
		if p, err := round.Person(t.Context(), id); err != nil || p.Actor != alice {
			t.Errorf("who was known before: %+v %v", p, err)
		}
	}
	if _, err := round.Person(t.Context(), "https://social.example/users/nobody7"); !errors.Is(err, mastodon.ErrNoPerson) {
		t.Errorf("who was asked about: %v", err)
	}
	if n := d.count(lookup) - before; n != 100 {
		t.Errorf("the instance was asked %d times", n)
	}
	if _, err := i.Round().Person(t.Context(), "nobody299"); !errors.Is(err, mastodon.ErrNoPerson) {
		t.Errorf("the next activity: %v", err)
	}
}
