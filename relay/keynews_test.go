package relay_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// told is a notice as it stands on the stream and in the owner's view.
type told struct {
	Type, Kind, Name, KeyPackage, Published string
	Others                                  []string
}

// notice reads an event that must be a notice.
func (e event) notice(t *testing.T) told {
	t.Helper()
	var a struct {
		Type   string
		Object told
	}
	if err := json.Unmarshal([]byte(e.data), &a); err != nil || e.id != "" || a.Type != "Announce" || a.Object.Type != "Notice" {
		t.Fatalf("%+v is no notice: %v", e, err)
	}
	return a.Object
}

// viewed are the notices in the owner's view of the collection.
func (w *keyWorld) viewed() []told {
	w.t.Helper()
	var view struct{ Notices []told }
	w.document(aliceKeys, &view, "Authorization", ofAlice)
	return view.Notices
}

// toldAndKept: the listener is told n, the owner's view has it, and so does whoever
// listens later.
func (w *keyWorld) toldAndKept(l *listener, is func(told) bool) {
	w.t.Helper()
	e := l.next()
	if e.id != "" { // the message that the notice is about may come first
		e = l.next()
	} else {
		defer func() { l.next() }()
	}
	if n := e.notice(w.t); !is(n) {
		w.t.Errorf("the stream tells %+v", n)
	}
	if !slices.ContainsFunc(w.viewed(), is) {
		w.t.Errorf("the owner's view has %+v", w.viewed())
	}
	later := w.listen(w.t, "")
	defer func() { _ = later.answer.Body.Close() }()
	var seen []told
	for range w.viewed() {
		seen = append(seen, later.next().notice(w.t))
	}
	if !slices.ContainsFunc(seen, is) {
		w.t.Errorf("who comes later is told %+v", seen)
	}
}

func TestLowWaterIsToldAndKept(t *testing.T) {
	w := newKeyWorld(t, gate{})
	device := w.aliceDevice()
	var all [][]byte
	for range 5 {
		all = append(all, device.Package())
		w.publish(all[len(all)-1])
	}
	l := w.listen(t, "")
	if got := w.deliver(t, "/users/alice/inbox", welcome("1", refOf(t, all[0]))); got.status != http.StatusAccepted {
		t.Fatalf("%+v", got)
	}
	w.toldAndKept(l, func(n told) bool { return n.Kind == "low_water" })
}

func TestLastResortUsedIsToldOnce(t *testing.T) {
	w := newKeyWorld(t, gate{})
	only := w.aliceDevice().Package()
	url := w.publish(only)
	l := w.listen(t, "")
	w.deliver(t, "/users/alice/inbox", welcome("1", refOf(t, only)))
	w.toldAndKept(l, func(n told) bool { return n.Kind == "last_resort_used" && strings.HasSuffix(url, "/"+n.KeyPackage) })
	w.deliver(t, "/users/alice/inbox", welcome("2", refOf(t, only)))
	w.send(t, 3)
	for _, id := range []string{"2", "3"} {
		if e := l.next(); e.id != id {
			t.Errorf("%+v: told of the second use", e)
		}
	}
}

func TestNewDeviceIsToldWithTheOldNames(t *testing.T) {
	w := newKeyWorld(t, gate{})
	publish := func(name string) {
		w.posted("/users/alice/outbox", ofAlice, activityOf("Create",
			keyObject(w.aliceDevice().Package(), "as:Public", `"generator":{"name":"`+name+`"}`)))
	}
	publish("Phone")
	l := w.listen(t, "")
	publish("Tablet")
	w.send(t, 1) // as every other notice here has a message beside it
	w.toldAndKept(l, func(n told) bool {
		return n.Kind == "new_device" && n.Name == "Tablet" && slices.Equal(n.Others, []string{"Phone"})
	})
}

// A package that comes within a week of its end is told of to who listens already, once.
func TestExpiringIsTold(t *testing.T) {
	w := newKeyWorld(t, gate{})
	device := w.aliceDevice()
	device.Lifetime = 10 * 24 * time.Hour
	url := w.publish(device.Package())
	l := w.listen(t, "")
	w.send(t, 1)
	if e := l.next(); e.id != "1" {
		t.Fatalf("%+v: nothing expires yet", e)
	}
	w.clock.Advance(4 * 24 * time.Hour)
	w.send(t, 2) // wakes the stream, as a heartbeat does
	w.toldAndKept(l, func(n told) bool { return n.Kind == "expiring" && strings.HasSuffix(url, "/"+n.KeyPackage) })
	w.clock.Advance(2 * time.Hour)
	w.send(t, 3)
	if e := l.next(); e.id != "3" {
		t.Errorf("%+v: told twice", e)
	}
}

// Who publishes has their messages kept until this device, too, is done with them.
func TestMessagesWaitForWhoPublishes(t *testing.T) {
	w := newKeyWorld(t, gate{})
	w.publish(w.aliceDevice().Package()) // of-alice's device, which has read nothing
	w.send(t, 1)
	if err := w.inbox.Done(t.Context(), "1", "another", 1); err != nil {
		t.Fatal(err)
	}
	if got := w.held(t, "1"); len(got) != 1 {
		t.Errorf("%d messages are left for the device that published", len(got))
	}
}

// A proposal is in its owner's mailbox, for their other devices, and nowhere else;
// posted again it is the same.
func TestProposalReachesTheOwnersDevices(t *testing.T) {
	w := newKeyWorld(t, gate{})
	object := keyObject(w.aliceDevice().Package(), alice, `"mlsSignature":"c2ln"`)
	create := activityOf("Create", object, `"to":["`+alice+`"]`)
	l := w.listen(t, "")
	made := w.posted("/users/alice/outbox", ofAlice, create)
	e := l.next()
	var add struct {
		Object struct {
			ID     string
			Object struct{ ID, Content, MlsSignature string }
		}
	}
	if err := json.Unmarshal([]byte(e.data), &add); err != nil || e.id != "1" || add.Object.Object.ID != made.header.Get("Location") ||
		add.Object.ID != made.header.Get("X-Activity-Id") || add.Object.Object.MlsSignature != "c2ln" {
		t.Errorf("%+v: %v", e, err)
	}
	again := w.posted("/users/alice/outbox", ofAlice, create)
	if again.header.Get("X-Activity-Id") != made.header.Get("X-Activity-Id") || again.header.Get("Location") != made.header.Get("Location") {
		t.Errorf("posted again it is %v, was %v", again.header, made.header)
	}
	if own, bobs := w.held(t, "1"), w.held(t, "2"); len(own) != 1 || len(bobs) != 0 {
		t.Errorf("%d of hers, %d of bob's", len(own), len(bobs))
	}
	if got := w.items(); len(got) != 0 {
		t.Errorf("a proposal is listed: %q", got)
	}
	w.publish(w.aliceDevice().Package())
	if own := w.held(t, "1"); len(own) != 1 {
		t.Errorf("a public package is in the mailbox: %d", len(own))
	}
}
