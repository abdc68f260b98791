package intake_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/policy"
	"github.com/sealgate/sealgate/policy/rules"
	"github.com/sealgate/sealgate/relay/intake"
)

const place = 64 << 10

// from is the n-th client's address.
func from(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }

// TestContactIsShedFirst: contact finds room in half, groups in all, and who has left is room again.
func TestContactIsShedFirst(t *testing.T) {
	p := intake.NewPlaces(intake.PlacesOptions{Most: 16 * place})
	var leave []func()
	fill := func(at rules.Stage) (entered int, err error) {
		for {
			out, err := p.Enter(at, from(len(leave)), 10)
			if err != nil {
				return entered, err
			}
			leave = append(leave, out)
			entered++
		}
	}
	for round := range 2 {
		n, err := fill(rules.Contact)
		limit, ok := errors.AsType[*policy.LimitError](err)
		if n != 8 || !ok || !errors.Is(err, policy.ErrBusy) || limit.RetryAfter <= 0 {
			t.Fatalf("round %d: %d of contact, then %v", round, n, err)
		}
		late := limit.RetryAfter
		n, err = fill(rules.Group)
		if limit, ok = errors.AsType[*policy.LimitError](err); n != 8 || !ok || !errors.Is(err, policy.ErrBusy) {
			t.Fatalf("round %d: %d of groups, then %v", round, n, err)
		}
		if limit.RetryAfter >= late {
			t.Errorf("groups come back after %v, contact after %v", limit.RetryAfter, late)
		}
		for _, out := range leave[:9] { // 7 are left: one of contact has room again
			out()
		}
		leave = leave[9:]
		if n, _ := fill(rules.Contact); n != 1 {
			t.Errorf("round %d: %d of contact when there was room for one", round, n)
		}
		for _, out := range leave {
			out()
		}
		leave = nil
	}
}

func TestPlacesCountBytes(t *testing.T) {
	p := intake.NewPlaces(intake.PlacesOptions{Most: 16 * place})
	out, err := p.Enter(rules.Contact, from(1), 100*place) // alone, anything has room
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Enter(rules.Group, from(2), 1); !errors.Is(err, policy.ErrBusy) {
		t.Errorf("beside it: %v", err)
	}
	out()
	if _, err := p.Enter(rules.Contact, from(1), 7*place); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Enter(rules.Contact, from(2), place+1); !errors.Is(err, policy.ErrBusy) {
		t.Errorf("one byte too much: %v", err)
	}
	if _, err := p.Enter(rules.Contact, from(2), place); err != nil {
		t.Errorf("what is left: %v", err)
	}
}

// TestOneClientHasAShare: of IPv6 a /64 is one client.
func TestOneClientHasAShare(t *testing.T) {
	for name, client := range map[string]func(n int) netip.Addr{
		"one address": func(int) netip.Addr { return from(1) },
		"a /64": func(n int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(n)})
		},
		"nobody knows": func(int) netip.Addr { return netip.Addr{} },
	} {
		p := intake.NewPlaces(intake.PlacesOptions{Most: 32 * place})
		for n := range 4 {
			if _, err := p.Enter(rules.Contact, client(n), 1); err != nil {
				t.Fatalf("%s: %d: %v", name, n, err)
			}
		}
		_, err := p.Enter(rules.Contact, client(9), 1)
		if limit, ok := errors.AsType[*policy.LimitError](err); !ok || !errors.Is(err, policy.ErrTooMany) || limit.Key != "limits.intake" {
			t.Errorf("%s: the fifth of 16: %v", name, err)
		}
		if _, err := p.Enter(rules.Contact, from(2), 1); err != nil {
			t.Errorf("%s: another: %v", name, err)
		}
		if _, err := p.Enter(rules.Group, client(9), 1); err != nil {
			t.Errorf("%s: for a group: %v", name, err)
		}
	}
}

// TestWaitingForKeysIsBounded: a quarter of all may wait for keys, of that a quarter for one host.
func TestWaitingForKeysIsBounded(t *testing.T) {
	p := intake.NewPlaces(intake.PlacesOptions{Most: 64 * place})
	var over []func()
	wait := func(host string, n int) (let int, err error) {
		for let < n {
			out, err := p.Await(host, 10)
			if err != nil {
				return let, err
			}
			over, let = append(over, out), let+1
		}
		return let, nil
	}
	n, err := wait("slow.example", 16)
	limit, ok := errors.AsType[*policy.LimitError](err)
	if n != 4 || !ok || !errors.Is(err, policy.ErrBusy) || limit.RetryAfter <= 0 {
		t.Errorf("for one host: %d, then %v", n, err)
	}
	for i := range 3 {
		if n, err := wait(fmt.Sprintf("h%d.example", i), 4); n != 4 {
			t.Errorf("for the %d. other: %d, then %v", i, n, err)
		}
	}
	if n, err := wait("last.example", 1); n != 0 || !errors.Is(err, policy.ErrBusy) {
		t.Errorf("with a quarter taken: %d, then %v", n, err)
	}
	for _, out := range over {
		out()
	}
	if _, err := p.Await("large.example", 100*place); err != nil { // alone, anything has room
		t.Errorf("large: %v", err)
	}
}

const member = "https://peer.example/users/member"

// create is an activity of a member's with these MLS objects.
func create(objects ...[]byte) string {
	list := ""
	for i, o := range objects {
		if i > 0 {
			list += ","
		}
		list += fmt.Sprintf(`{"type":"PrivateMessage","mediaType":"message/mls","encoding":"base64","content":%q}`, base64.StdEncoding.EncodeToString(o))
	}
	return `{"id":"https://peer.example/1","type":"Create","actor":"` + member + `","to":["https://social.example/users/x"],"object":[` + list + `]}`
}

func ofGroup() []byte { return inboxtest.Private(inboxtest.Application, "g", 1, "c") }

func TestStageOf(t *testing.T) {
	f := func(want rules.Stage, objects ...[]byte) {
		t.Helper()
		if got := intake.StageOf(parse(t, create(objects...))); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f(rules.Group, ofGroup())
	f(rules.Group, []byte("garbage"), ofGroup())
	f(rules.Contact, inboxtest.Welcome([]byte("ref")))
	f(rules.Contact, ofGroup(), inboxtest.Welcome([]byte("ref")))
	f(rules.Contact, []byte("garbage"))
}

// TestJudgeShedsWhatIsContactAfterAll: who writes for a group that nobody here is in gets a place as if for one, and loses it
// when that is known, while there is room for groups only.
func TestJudgeShedsWhatIsContactAfterAll(t *testing.T) {
	clock := inboxtest.NewClock()
	store := &inboxtest.Memory{Clock: clock.Now}
	in := inbox.New(inbox.Options{Store: store, Clock: clock.Now})
	places := intake.NewPlaces(intake.PlacesOptions{Most: 16 * place})
	none, err := rules.Parse(rules.Source{Name: "policy.yaml", Text: []byte("version: 1\n"), Now: clock.Now()})
	if err != nil {
		t.Fatal(err)
	}
	gate := &ruled{none, rules.Stranger, clock.Now, map[rules.Action]int{}}
	door := intake.New(intake.Options{Gate: gate, Inbox: in, Clock: clock.Now, Places: places})
	judge := func() error {
		_, err := door.Judge(t.Context(), inbox.Delivery{Signer: member, Activity: parse(t, create(ofGroup())), Owners: []inbox.Owner{"1", "2"}})
		return err
	}
	for n := range 9 {
		if err := judge(); err != nil {
			t.Errorf("with %d places taken: %v", n, err)
		}
		if _, err := places.Enter(rules.Group, from(n), 1); err != nil {
			t.Fatal(err)
		}
	}
	asked := gate.actions[rules.Allow]
	if err := judge(); !errors.Is(err, policy.ErrBusy) || gate.actions[rules.Allow] != asked {
		t.Errorf("for strangers: %v; policy was asked %d times for it", err, gate.actions[rules.Allow]-asked)
	}
	if err := store.Learn(t.Context(), inbox.Lesson{Owner: "2", Group: []byte("g"), Members: []string{member}}); err != nil {
		t.Fatal(err)
	}
	if err := judge(); err != nil {
		t.Errorf("when one of both is in the group: %v", err)
	}
}
