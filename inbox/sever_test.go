package inbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

const eve = "https://evil.example/users/eve"

func TestWhom(t *testing.T) {
	f := func(want, text string) {
		t.Helper()
		if got, err := inbox.Whom(text); got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, inbox.ErrNobody) {
			t.Errorf("%.40q: %.40q, %v, want %.40q", text, got, err, want)
		}
	}
	f(eve, " "+eve)
	f("evil.example:8443", "Evil.example:8443")
	f("evil.example", "evil.example:443")
	f("evil.example", "https://Evil.example/")
	f("evil.example:8443", "https://evil.example:8443")
	f("", "evil.example/users/eve")
	f("", "https:///users/eve")
	f("", "")
	f("", "evil example")
	f("", "https://evil_example/users/eve")
	f("", "uri:uuid://x")
	long := "https://evil.example/" + strings.Repeat("x", 2048-len("https://evil.example/"))
	f(long, long)
	f("", long+"x")
}

// TestSever: an actor or a host, for one person or for all; kept over a restart, and taken back.
func TestSever(t *testing.T) {
	store := &inboxtest.Memory{}
	in := inbox.New(inbox.Options{Store: store})
	var told []string
	in.OnSever(func(_ context.Context, s inbox.Severed, undone bool) {
		told = append(told, fmt.Sprint(s.Who, s.Owner, undone))
	})
	f := func(in *inbox.Inbox, want bool, o inbox.Owner, actor string) {
		t.Helper()
		if got := in.Severed(o, actor); got != want {
			t.Errorf("%s from %s is dropped: %v", o, actor, got)
		}
	}
	f(in, false, "bob", eve)
	for range 2 { // the second time changes nothing
		must(t, in.Sever(t.Context(), inbox.Severed{Who: eve, Owner: "bob"}, nil))
	}
	must(t, in.Sever(t.Context(), inbox.Severed{Who: "worse.example"}, nil))
	again := inbox.New(inbox.Options{Store: store})
	must(t, again.LoadSevered(t.Context()))
	for _, in := range []*inbox.Inbox{in, again} {
		f(in, true, "bob", eve)
		f(in, false, "carol", eve)
		f(in, false, "bob", "https://evil.example/users/other")
		f(in, true, "bob", "https://worse.example/users/x")
		f(in, true, "carol", "https://Worse.example/users/y")
		if n := len(in.SeveredList()); n != 2 {
			t.Errorf("%d are severed", n)
		}
	}
	for _, wrong := range []inbox.Severed{{Who: eve}, {Who: eve, Owner: "carol"}, {Who: "evil.example", Owner: "bob"}} {
		if err := in.Rejoin(t.Context(), wrong); !errors.Is(err, inbox.ErrNotSevered) {
			t.Errorf("%+v: %v", wrong, err)
		}
	}
	must(t, in.Rejoin(t.Context(), inbox.Severed{Who: eve, Owner: "bob"}))
	f(in, false, "bob", eve)
	f(in, true, "bob", "https://worse.example/users/x")
	if want := []string{eve + "bobfalse", "worse.examplefalse", eve + "bobtrue"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	bare := inbox.New(inbox.Options{Store: plain{store}})
	if err := bare.Sever(t.Context(), inbox.Severed{Who: eve}, nil); !errors.Is(err, inbox.ErrUnavailable) {
		t.Errorf("without a keeper: %v", err)
	}
	if err := errors.Join(bare.LoadSevered(t.Context()), inbox.New(inbox.Options{Store: &inboxtest.Memory{}}).LoadSevered(t.Context())); err != nil {
		t.Error(err)
	}
}

// TestSeveredAreBounded: a hundred by one person, two thousand in all; a store that fails changes nothing.
func TestSeveredAreBounded(t *testing.T) {
	store := &forgetful{Memory: &inboxtest.Memory{}}
	in := inbox.New(inbox.Options{Store: store})
	n := 0
	sever := func(o inbox.Owner) error {
		n++
		return in.Sever(t.Context(), inbox.Severed{Who: fmt.Sprintf("h%d.example", n), Owner: o}, nil)
	}
	for range 100 {
		must(t, sever("bob"))
	}
	if err := sever("bob"); !errors.Is(err, inbox.ErrTooManySevered) {
		t.Errorf("the 101st of bob's: %v", err)
	}
	store.keep = errDisk
	if err := sever("carol"); !errors.Is(err, errDisk) || len(in.SeveredList()) != 100 {
		t.Errorf("%v, %d are severed", err, len(in.SeveredList()))
	}
	store.keep = nil
	value, err := json.Marshal(make([]inbox.Severed, 1999))
	must(t, err)
	must(t, store.Keep(t.Context(), "severed", value))
	must(t, in.LoadSevered(t.Context()))
	must(t, sever(""))
	if err := sever(""); !errors.Is(err, inbox.ErrTooManySevered) || len(in.SeveredList()) != 2000 {
		t.Errorf("the 2001st: %v", err)
	}
	store.kept = errDisk
	if err := in.LoadSevered(t.Context()); !errors.Is(err, errDisk) {
		t.Errorf("read: %v", err)
	}
}

// TestSeveredAreRemoved: their requests are forgotten, and who shares something with them is found and told.
func TestSeveredAreRemoved(t *testing.T) {
	store := &inboxtest.Memory{}
	in := inbox.New(inbox.Options{Store: store})
	ask := func(o inbox.Owner, actor string) {
		t.Helper()
		m := inboxtest.Sample(o, 1)
		m.Actor, m.Kind, m.Group, m.Fate = actor, "welcome", nil, inbox.Await
		if rs, err := in.Keep(t.Context(), []inbox.Message{m}); err != nil || !rs[0].Waits {
			t.Fatalf("%+v, %v", rs, err)
		}
	}
	const other = "https://evil.example/users/other"
	ask("bob", eve)
	ask("bob", other)
	ask("bob", alice)
	must(t, store.Learn(t.Context(), inbox.Lesson{Owner: "carol", Group: []byte("g"), Members: []string{eve, alice}}))
	f := func(who string, want ...inbox.Contact) {
		t.Helper()
		if got, err := in.ContactsOf(t.Context(), who, []inbox.Owner{"bob", "carol", "dan"}); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", who, got, err, want)
		}
	}
	f(eve, inbox.Contact{Owner: "bob", Requests: 1}, inbox.Contact{Owner: "carol", Groups: 1})
	f("EVIL.example", inbox.Contact{Owner: "bob", Requests: 2}, inbox.Contact{Owner: "carol", Groups: 1})
	f("https://nobody.example/")
	must(t, in.Sever(t.Context(), inbox.Severed{Who: eve}, []inbox.Owner{"bob", "carol"}))
	f("evil.example", inbox.Contact{Owner: "bob", Requests: 1}, inbox.Contact{Owner: "carol", Groups: 1})
	must(t, in.Sever(t.Context(), inbox.Severed{Who: "evil.example"}, []inbox.Owner{"bob"}))
	f("evil.example", inbox.Contact{Owner: "carol", Groups: 1})
	if all, err := in.Requests(t.Context(), "bob"); err != nil || len(all) != 1 || all[0].Actor != alice {
		t.Errorf("%+v, %v", all, err)
	}
	for o, want := range map[inbox.Owner]int{"bob": 2, "carol": 1, "dan": 0} {
		all, err := in.Reports(t.Context(), o)
		if err != nil || len(all) != want || want > 0 && (all[0].Kind != inbox.Cut || all[0].Actor != eve) {
			t.Errorf("%s: %+v, %v", o, all, err)
		}
	}
	must(t, in.Rejoin(t.Context(), inbox.Severed{Who: "evil.example"}))
	if all, err := in.Reports(t.Context(), "bob"); err != nil || len(all) != 1 || all[0].Actor != eve {
		t.Errorf("once the host is back, bob is told %+v, %v", all, err)
	}
	must(t, in.Rejoin(t.Context(), inbox.Severed{Who: eve}))
	if all, err := in.Reports(t.Context(), "bob"); err != nil || len(all) != 0 {
		t.Errorf("once eve is back, bob is told %+v, %v", all, err)
	}
}
