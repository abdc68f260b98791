package storage_test

import (
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

func TestKeyContract(t *testing.T) {
	inboxtest.RunKeys(t, func(t *testing.T, clock func() time.Time) inbox.KeyStore {
		o := options(t.TempDir())
		o.Clock = clock
		return open(t, o)
	})
}

// TestChangeThatChangesNothing does not trouble the committer.
func TestChangeThatChangesNothing(t *testing.T) {
	s := open(t, options(t.TempDir()))
	d := inboxtest.NewDirectory(s, time.Now)
	before := s.Transactions()
	for _, o := range []inbox.Owner{"nobody", "bob"} {
		if got, err := d.Claim(t.Context(), o, inbox.Requester{ID: "zoe"}); err != nil || len(got) != 0 {
			t.Errorf("%v %v", got, err)
		}
	}
	if n := s.Transactions() - before; n != 0 {
		t.Errorf("%d transactions", n)
	}
	inboxtest.Fill(t, d, "bob", inboxtest.NewClient("https://social.example/users/bob", time.Now()), 3)
	before = s.Transactions()
	for range 3 {
		if got, err := d.Claim(t.Context(), "bob", inbox.Requester{ID: "zoe"}); err != nil || len(got) != 1 {
			t.Errorf("%v %v", got, err)
		}
	}
	if n := s.Transactions() - before; n != 1 {
		t.Errorf("three claims of one requester took %d transactions", n)
	}
}
