package inbox_test

import (
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

func woken(w *inbox.Watch) bool {
	select {
	case <-w.Wake:
		return true
	default:
		return false
	}
}

func TestWatchersAreWokenForTheirOwner(t *testing.T) {
	in := inbox.New(inbox.Options{Store: &inboxtest.Memory{}})
	bob, phone, carol := in.Watch("bob"), in.Watch("bob"), in.Watch("carol")
	for range 1000 { // nobody looks, and nobody waits for them
		in.Wake("bob")
	}
	if !woken(bob) || !woken(phone) || woken(carol) {
		t.Error("not all of bob's, or somebody else's")
	}
	if woken(bob) {
		t.Error("woken twice for what was one look")
	}
	phone.Close()
	in.Wake("bob", "carol")
	if !woken(bob) || woken(phone) || !woken(carol) {
		t.Error("after phone has closed")
	}
}

func TestNoticesWaitBounded(t *testing.T) {
	in := inbox.New(inbox.Options{Store: &inboxtest.Memory{}})
	in.Tell("bob", inbox.Notice{Kind: inbox.LowWater}) // nobody listens: nothing keeps it
	w := in.Watch("bob")
	defer w.Close()
	for range 1000 {
		in.Tell("bob", inbox.Notice{Kind: inbox.LowWater})
	}
	if n := len(w.Notices()); n != 8 {
		t.Errorf("%d notices wait", n)
	}
	if n := len(w.Notices()); n != 0 {
		t.Errorf("%d came twice", n)
	}
}

func TestOnMailHearsOfWhatWasKept(t *testing.T) {
	in := inbox.New(inbox.Options{Store: &inboxtest.Memory{}})
	var heard []inbox.Owner
	in.OnMail(func(o inbox.Owner) { heard = append(heard, o) })
	in.Wake("bob", "carol")
	if len(heard) != 2 || heard[0] != "bob" || heard[1] != "carol" {
		t.Errorf("heard %v", heard)
	}
}
