package inbox_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/activity"
	"github.com/sealgate/sealgate/inbox/inboxtest"
)

const alice = "https://peer.example/users/alice"

// private is an MLSMessage holding a PrivateMessage (RFC 9420 §6.3) of group
// "room", epoch 5, application data.
var private = []byte("\x00\x01\x00\x02\x04room\x00\x00\x00\x00\x00\x00\x00\x05\x01\x00\x03abc\x03xyz")

func create(id string) *activity.Activity {
	return &activity.Activity{
		ID: id, Type: "Create", Actor: alice,
		Objects: []activity.Object{{AttributedTo: alice, Content: private}},
		Raw:     []byte(`{"id":"` + id + `"}`),
	}
}

func newInbox() (*inbox.Inbox, *prometheus.Registry) {
	r := prometheus.NewRegistry()
	return inbox.New(inbox.Options{Store: &inboxtest.Memory{}, Metrics: r}), r
}

// TestKindOfSeveralObjects: the first object names the kind, unless one is a Welcome; a commit names the group.
func TestKindOfSeveralObjects(t *testing.T) {
	framed := func(group string, kind byte) activity.Object {
		return activity.Object{Content: []byte("\x00\x01\x00\x02\x04" + group + "\x00\x00\x00\x00\x00\x00\x00\x05" + string(kind) + "\x00\x03abc\x03xyz")}
	}
	application, commit, welcome := framed("room", 1), framed("hall", 3), activity.Object{Content: inboxtest.Welcome([]byte("ref"))}
	in, _ := newInbox()
	f := func(kind, group string, commits bool, objects ...activity.Object) {
		t.Helper()
		a := create("https://peer.example/1")
		a.Objects = objects
		ms, err := in.Letters(inbox.Delivery{Signer: alice, Activity: a, Owners: []inbox.Owner{"1"}})
		if err != nil || len(ms) != 1 || ms[0].Kind != kind || string(ms[0].Group) != group || ms[0].Commit != commits {
			t.Errorf("%+v, %v, want %s of %q", ms, err, kind, group)
		}
	}
	f("application", "room", false, application)
	f("application", "hall", true, application, commit)
	f("commit", "hall", true, commit, application)
	f("application", "room", false, application, framed("hall", 1))
	f("commit", "hall", true, commit, framed("room", 3))
	f("welcome", "room", false, application, welcome)
	f("welcome", "room", false, welcome, application)
	f("", "", false, activity.Object{})
}

// TestThreadID: the first conversation that is kept here, by its 128 bits.
func TestThreadID(t *testing.T) {
	const prefix, id = "https://here.example/c/", "0123456789abcdef0123456789abcdef"
	f := func(want, prefix string, contexts ...string) {
		t.Helper()
		a := &activity.Activity{}
		for _, one := range contexts {
			a.Objects = append(a.Objects, activity.Object{Context: one})
		}
		if got := inbox.ThreadID(a, prefix); got != want {
			t.Errorf("%q: %q, want %q", contexts, got, want)
		}
	}
	f(id, prefix, prefix+id)
	f(id, prefix, "https://elsewhere.example/c/"+id, prefix+id[1:], prefix+id+"0", prefix+id[1:]+"g", prefix+id)
	f("", prefix, id)
	f("", "", id)
}

func TestAcceptKeepsOncePerOwner(t *testing.T) {
	in, metrics := newInbox()
	d := inbox.Delivery{Signer: alice, Activity: create("https://peer.example/1"), Owners: []inbox.Owner{"1", "2"}}
	rs, err := in.Accept(t.Context(), d)
	if err != nil || len(rs) != 2 || rs[0] != (inbox.Result{Position: 1}) || rs[1] != (inbox.Result{Position: 1}) {
		t.Fatalf("%+v, %v", rs, err)
	}
	rs, err = in.Accept(t.Context(), d)
	if err != nil || !errors.Is(rs[0].Err, inbox.ErrDuplicate) || !errors.Is(rs[1].Err, inbox.ErrDuplicate) {
		t.Errorf("again: %+v, %v", rs, err)
	}
	es, err := in.After(t.Context(), "2", 0, 10)
	if err != nil || len(es) != 1 {
		t.Fatalf("%+v, %v", es, err)
	}
	m := es[0].Message
	if m.Kind != "application" || string(m.Group) != "room" || m.Epoch != 5 || m.Actor != alice || string(m.Activity) != string(d.Activity.Raw) {
		t.Errorf("%+v", m)
	}
	d.Owners = append(d.Owners, "3")
	w := in.Watch("1")
	defer w.Close()
	if _, err := in.Accept(t.Context(), d); err != nil || woken(w) {
		t.Errorf("%v, or the second time wakes", err)
	}
	if n := counted(t, metrics, "sealgate_mls_messages_total", "application"); n != 3 {
		t.Errorf("%v messages counted, want 3", n)
	}
	d.Activity = create("https://peer.example/2")
	if _, err := in.Accept(t.Context(), d); err != nil || !woken(w) {
		t.Errorf("%v, or nobody was woken", err)
	}
}

// TestRequestIsTold: who asks is told of once, and counted.
func TestRequestIsTold(t *testing.T) {
	in, metrics := newInbox()
	w := in.Watch("bob")
	defer w.Close()
	for n, kind := range []string{"welcome", "commit", "commit"} {
		m := inboxtest.Sample("bob", n)
		m.Kind, m.Group, m.Fate = kind, nil, inbox.Await
		if _, err := in.Keep(t.Context(), []inbox.Message{m}); err != nil {
			t.Fatal(err)
		}
	}
	if all := w.Notices(); len(all) != 1 || all[0].Kind != inbox.MessageRequest || all[0].Request == "" || all[0].Actor != alice {
		t.Errorf("%+v", all)
	}
	if n := counted(t, metrics, "sealgate_message_requests_total", "opened"); n != 1 {
		t.Errorf("%v requests counted", n)
	}
}

// counted reads one counter, by its last label.
func counted(t *testing.T, r *prometheus.Registry, name, last string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if l := m.GetLabel(); f.GetName() == name && l[len(l)-1].GetValue() == last {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

func TestAcceptRefuses(t *testing.T) {
	change := func(f func(*activity.Activity)) *activity.Activity {
		a := create("https://peer.example/1")
		f(a)
		return a
	}
	content := func(b []byte) func(*activity.Activity) {
		return func(a *activity.Activity) { a.Objects[0].Content = b }
	}
	tests := []struct {
		name string
		a    *activity.Activity
		want error
	}{
		{"another actor", change(func(a *activity.Activity) { a.Actor = "https://peer.example/users/eve" }), inbox.ErrForbidden},
		{"another author", change(func(a *activity.Activity) { a.Objects[0].AttributedTo = "https://peer.example/users/eve" }), inbox.ErrForbidden},
		{"a second object's author", change(func(a *activity.Activity) {
			a.Objects = append(a.Objects, activity.Object{AttributedTo: "https://x.example/", Content: private})
		}), inbox.ErrForbidden},
		{"another host's id", create("https://good.example/1"), inbox.ErrForbidden},
		{"another host's id in capitals", create("HTTPS://good.example/1"), inbox.ErrForbidden},
		{"another port's id", create("https://peer.example:8443/1"), inbox.ErrForbidden},
		{"a host that only begins alike", create("https://peer.example.evil.example/1"), inbox.ErrForbidden},
		{"a user that looks like the host", create("https://peer.example@evil.example/1"), inbox.ErrForbidden},
		{"an https id without host", create("https:peer.example/1"), inbox.ErrForbidden},
		{"an id that is no URL", create("https://peer.example/%zz"), inbox.ErrForbidden},
		{"a long id", create("urn:" + strings.Repeat("x", 32<<10)), inbox.ErrMalformed},
		{"a long context", change(func(a *activity.Activity) { a.Objects[0].Context = strings.Repeat("x", 32<<10) }), inbox.ErrMalformed},
		{"no MLS", change(content([]byte("hello"))), inbox.ErrMalformed},
		{"empty", change(content([]byte{})), inbox.ErrMalformed},
		{"truncated", change(content(private[:len(private)-1])), inbox.ErrMalformed},
		{"trailing bytes", change(content(append(slices.Clone(private), 0))), inbox.ErrMalformed},
		{"a broken second object", change(func(a *activity.Activity) {
			a.Objects = append(a.Objects, activity.Object{Content: []byte{1}})
		}), inbox.ErrMalformed},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			in, _ := newInbox()
			rs, err := in.Accept(t.Context(), inbox.Delivery{Signer: alice, Activity: c.a, Owners: []inbox.Owner{"1"}})
			if !errors.Is(err, c.want) || rs != nil || strings.Contains(c.name, "second") && !strings.Contains(err.Error(), "object 2") {
				t.Errorf("%+v, %v, want %v", rs, err, c.want)
			}
			if u, _ := in.Usage(t.Context(), "1"); u != (inbox.Usage{}) {
				t.Errorf("something was kept: %+v", u)
			}
		})
	}
}

// TestNoHostIsNobodys: an id on no host is not its actor's, whose own has none either.
func TestNoHostIsNobodys(t *testing.T) {
	in, _ := newInbox()
	a := create("https://peer.example/%zz")
	a.Actor = "https://alice@peer.example/users/alice"
	a.Objects[0].AttributedTo = a.Actor
	if rs, err := in.Accept(t.Context(), inbox.Delivery{Signer: a.Actor, Activity: a, Owners: []inbox.Owner{"1"}}); !errors.Is(err, inbox.ErrForbidden) {
		t.Errorf("%+v, %v", rs, err)
	}
}

func TestAcceptIsLiberal(t *testing.T) {
	for name, a := range map[string]*activity.Activity{
		"same host, default port": create("https://peer.example:443/1"),
		"host in capitals":        create("https://PEER.example/1"),
		"a client's own id":       create("uri:uuid:4f0e"),
		"nobody named as author":  {ID: "mls://x/1", Actor: alice, Objects: []activity.Object{{Content: private}}},
		"a Delete has no bytes":   {ID: "https://peer.example/2", Type: "Delete", Actor: alice, Objects: []activity.Object{{ID: "https://peer.example/1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			in, _ := newInbox()
			rs, err := in.Accept(t.Context(), inbox.Delivery{Signer: alice, Activity: a, Owners: []inbox.Owner{"1"}})
			if err != nil || len(rs) != 1 || rs[0].Err != nil {
				t.Errorf("%+v, %v", rs, err)
			}
		})
	}
}

func TestAcceptWithoutID(t *testing.T) {
	in, _ := newInbox()
	accept := func(raw string) inbox.Result {
		a := create("")
		a.Raw = []byte(raw)
		rs, err := in.Accept(t.Context(), inbox.Delivery{Signer: alice, Activity: a, Owners: []inbox.Owner{"1"}})
		if err != nil {
			t.Fatal(err)
		}
		return rs[0]
	}
	first, again, other := accept("one"), accept("one"), accept("two")
	if first.Err != nil || !errors.Is(again.Err, inbox.ErrDuplicate) || other.Err != nil || other.Position != 2 {
		t.Errorf("%+v %+v %+v", first, again, other)
	}
}
