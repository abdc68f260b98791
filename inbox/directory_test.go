package inbox_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/inbox/inboxtest"
	"github.com/sealgate/sealgate/inbox/mls"
)

const (
	bob   = inbox.Owner("2")
	bobID = "https://social.example/users/bob"
)

// desk is a directory in memory, with a device of bob's.
type desk struct {
	*inbox.Directory
	*testing.T
	clock  *inboxtest.Clock
	device *inboxtest.Client
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	clock := inboxtest.NewClock()
	return &desk{
		Directory: inboxtest.NewDirectory(&inboxtest.KeyMemory{Clock: clock.Now}, clock.Now), T: t, clock: clock,
		device: inboxtest.NewClient(bobID, clock.Now()),
	}
}

func upload(c *inboxtest.Client) inbox.Upload {
	return inbox.Upload{ID: inbox.NewID(), Name: "phone", Package: c.Package(), Content: []byte("{}"), Public: true}
}

func publication(us ...inbox.Upload) inbox.Publication {
	return inbox.Publication{Owner: bob, Actor: bobID, Activity: inbox.NewID(), Uploads: us}
}

func (d *desk) publish(us ...inbox.Upload) []inbox.Package {
	d.Helper()
	out, err := d.Publish(d.Context(), publication(us...))
	if err != nil || len(out) != len(us) {
		d.Fatalf("Publish: %d packages, %v", len(out), err)
	}
	return out
}

func (d *desk) open() []inbox.Package {
	d.Helper()
	pool, err := d.Pool(d.Context(), bob)
	if err != nil {
		d.Fatal(err)
	}
	return pool.Open(d.Now())
}

func (d *desk) wantOpen(why string, want ...inbox.Package) {
	d.Helper()
	got := d.open()
	if !slices.Equal(ids(got), ids(want)) {
		d.Errorf("%s: the collection has %q, want %q", why, ids(got), ids(want))
	}
}

func (d *desk) claim(who string) []inbox.Package {
	d.Helper()
	got, err := d.Claim(d.Context(), bob, inbox.Requester{ID: who, Service: strings.HasPrefix(who, "service")})
	if err != nil {
		d.Fatalf("Claim: %v", err)
	}
	return got
}

func (d *desk) consume(ps ...inbox.Package) {
	d.Helper()
	var refs [][]byte
	for _, p := range ps {
		refs = append(refs, p.Ref)
	}
	if err := d.Consume(d.Context(), []inbox.Owner{"1", bob}, refs); err != nil {
		d.Fatalf("Consume: %v", err)
	}
}

func (d *desk) news() (kinds []inbox.Kind) {
	d.Helper()
	pool, err := d.Pool(d.Context(), bob)
	if err != nil {
		d.Fatal(err)
	}
	for _, n := range pool.News(d.Now()) {
		kinds = append(kinds, n.Kind)
	}
	return kinds
}

func ids(ps []inbox.Package) (out []string) {
	for _, p := range ps {
		out = append(out, p.ID)
	}
	return out
}

func TestPublishLists(t *testing.T) {
	d := newDesk(t)
	all := d.publish(upload(d.device), upload(d.device))
	d.wantOpen("published", all...)
	if !all[0].Verified || all[0].Device != all[1].Device || all[0].State != inbox.Listed {
		t.Errorf("%+v", all[0])
	}
	one, content, err := d.Item(t.Context(), bob, all[1].ID)
	if err != nil || string(content) != "{}" || one.ID != all[1].ID {
		t.Errorf("Item: %+v %q %v", one, content, err)
	}
}

// TestOwnerIsTold: of what a change makes known, once, and of nothing that was not kept.
func TestOwnerIsTold(t *testing.T) {
	var told []string
	store := &broken{KeyStore: &inboxtest.KeyMemory{}}
	d := inbox.NewDirectory(inbox.DirectoryOptions{
		Store: store, Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
		Tell: func(o inbox.Owner, n inbox.Notice) { told = append(told, fmt.Sprint(o, " ", n.Kind)) },
	})
	publish := func() error {
		_, err := d.Publish(t.Context(), publication(upload(inboxtest.NewClient(bobID, d.Now()))))
		return err
	}
	if err := publish(); err != nil || len(told) != 0 {
		t.Fatalf("the first device: %q, %v", told, err)
	}
	if err := publish(); err != nil || len(told) != 1 || told[0] != "2 new_device" {
		t.Errorf("the second device: %q, %v", told, err)
	}
	store.err = inbox.ErrUnavailable
	if err := publish(); !errors.Is(err, inbox.ErrUnavailable) || len(told) != 1 {
		t.Errorf("a third, not kept: %q, %v", told, err)
	}
}

// broken is a KeyStore that keeps nothing once err is set.
type broken struct {
	inbox.KeyStore
	err error
}

func (s *broken) ChangePool(ctx context.Context, o inbox.Owner, f func(*inbox.Change) error) error {
	if err := s.KeyStore.ChangePool(ctx, o, f); err != nil {
		return err
	}
	return s.err
}

func TestPublishAgainIsTheSame(t *testing.T) {
	d := newDesk(t)
	u := upload(d.device)
	first := d.publish(u)
	u.ID = inbox.NewID()
	if again := d.publish(u); again[0].ID != first[0].ID {
		t.Errorf("the same bytes became %q beside %q", again[0].ID, first[0].ID)
	}
	d.wantOpen("published twice", first...)
}

func TestProposalStaysPrivateUntilAdded(t *testing.T) {
	d := newDesk(t)
	u := upload(d.device)
	u.Public, u.Aliases = false, []string{"uri:uuid:1"}
	p := d.publish(u)[0]
	d.wantOpen("proposed")
	if got := d.claim("zoe"); len(got) != 0 {
		t.Errorf("a proposal was handed out: %+v", got)
	}
	if err := d.List(t.Context(), bob, bobID, "uri:uuid:1"); err != nil {
		t.Fatal(err)
	}
	d.wantOpen("added", p)
	if err := d.List(t.Context(), bob, bobID, p.Activity); err != nil {
		t.Errorf("added twice: %v", err)
	}
}

func TestNames(t *testing.T) {
	for name, of := range map[string]func(inbox.Package) string{
		"id":       func(p inbox.Package) string { return p.ID },
		"activity": func(p inbox.Package) string { return p.Activity },
		"alias":    func(inbox.Package) string { return "uri:uuid:mine" },
	} {
		d := newDesk(t)
		u := upload(d.device)
		u.Aliases = []string{"uri:uuid:mine", ""}
		p := d.publish(u)[0]
		renewed, err := d.Renew(t.Context(), publication(upload(d.device)), of(p))
		if err != nil || renewed.ID != p.ID || renewed.Device != p.Device || string(renewed.Ref) == string(p.Ref) {
			t.Errorf("Renew by %s: %+v %v", name, renewed, err)
		}
		if err := d.Remove(t.Context(), bob, bobID, of(renewed)); err != nil {
			t.Errorf("Remove by %s: %v", name, err)
		}
		d.wantOpen("removed by " + name)
	}
}

func TestRemoveByActivityTakesTheBatch(t *testing.T) {
	d := newDesk(t)
	batch := d.publish(upload(d.device), upload(d.device))
	other := d.publish(upload(d.device))
	if err := d.Remove(t.Context(), bob, bobID, batch[0].Activity); err != nil {
		t.Fatal(err)
	}
	d.wantOpen("without the batch", other...)
	if err := d.Remove(t.Context(), bob, bobID, batch[1].ID); err != nil {
		t.Errorf("removed twice: %v", err)
	}
	if _, _, err := d.Item(t.Context(), bob, batch[0].ID); !errors.Is(err, inbox.ErrNoPackage) {
		t.Errorf("Item of a removed package: %v", err)
	}
}

func TestUnknownNames(t *testing.T) {
	d := newDesk(t)
	d.publish(upload(d.device))
	_, renew := d.Renew(t.Context(), publication(upload(d.device)), "uri:uuid:other")
	for name, err := range map[string]error{
		"Renew": renew, "List": d.List(t.Context(), bob, bobID, inbox.NewID()),
		"Remove": d.Remove(t.Context(), bob, bobID, "https://social.example/e2ee/users/eve/keyPackages/x"),
		"empty":  d.Remove(t.Context(), bob, bobID, ""),
	} {
		if !errors.Is(err, inbox.ErrNoPackage) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An Update of a package that has gone publishes it under its old id: a client that
// keeps one package and updates it must never be stuck.
func TestRenewOfWhatHasGone(t *testing.T) {
	d := newDesk(t)
	p := d.publish(upload(d.device))[0]
	d.clock.Advance(91 * 24 * time.Hour)
	d.wantOpen("expired")
	d.device.Begins = d.clock.Now()
	renewed, err := d.Renew(t.Context(), publication(upload(d.device)), p.ID)
	if err != nil || renewed.ID != p.ID {
		t.Fatalf("%+v %v", renewed, err)
	}
	d.wantOpen("renewed", renewed)
}

func TestPublishRefuses(t *testing.T) {
	fixed := inboxtest.NewClient(bobID, time.Time{}).Package()[5:37] // any 32 bytes
	for name, c := range map[string]struct {
		spoil func(*inboxtest.Client)
		want  error
		says  string
	}{
		"leaf signature":      {func(c *inboxtest.Client) { c.SpoilLeaf = true }, mls.ErrLeafSignature, "leaf signature is wrong"},
		"package signature":   {func(c *inboxtest.Client) { c.Spoil = true }, mls.ErrPackageSignature, "key package signature is wrong"},
		"one key for both":    {func(c *inboxtest.Client) { c.InitKey, c.EncryptKey = fixed, fixed }, mls.ErrSameKey, "init key and encryption key are the same"},
		"somebody else":       {func(c *inboxtest.Client) { c.Actor = "https://social.example/users/eve" }, mls.ErrIdentity, `"https://social.example/users/eve"`},
		"x509 without chain":  {func(c *inboxtest.Client) { c.Credential = []byte{0, 2, 0} }, mls.ErrCertificate, "the chain is empty"},
		"300 years":           {func(c *inboxtest.Client) { c.Lifetime = 290 * 365 * 24 * time.Hour }, mls.ErrLifetime, "key_packages.max_lifetime"},
		"expired":             {func(c *inboxtest.Client) { c.Begins = c.Begins.AddDate(-1, 0, 0) }, mls.ErrExpired, "lifetime is over"},
		"not yet":             {func(c *inboxtest.Client) { c.Begins = c.Begins.AddDate(0, 0, 2) }, mls.ErrNotYetValid, "clock"},
		"duplicate extension": {func(c *inboxtest.Client) { c.LastResort, c.Extensions = true, inboxtest.Extension(10, nil) }, mls.ErrDuplicateExtension, "0x000a"},
		"too large":           {func(c *inboxtest.Client) { c.Padding = 70_000 }, inbox.ErrPackageSize, "at most 65536"},
	} {
		d := newDesk(t)
		c.spoil(d.device)
		good := upload(inboxtest.NewClient(bobID, d.clock.Now()))
		_, err := d.Publish(t.Context(), publication(good, upload(d.device)))
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "number 2") {
			t.Errorf("%s: %v, want %v with %q", name, err, c.want, c.says)
		}
		d.wantOpen(name)
	}
}

func TestPublishRefusesOtherMLS(t *testing.T) {
	d := newDesk(t)
	for name, c := range map[string]struct {
		bytes []byte
		want  error
	}{
		"a Welcome": {inboxtest.Welcome([]byte("ref")), inbox.ErrNotKeyPackage},
		"nothing":   {nil, mls.ErrMalformed},
		"half":      {d.device.Package()[:99], mls.ErrMalformed},
		"and more":  {append(d.device.Package(), 0), mls.ErrMalformed},
	} {
		u := upload(d.device)
		u.Package = c.bytes
		if _, err := d.Publish(t.Context(), publication(u)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInitKeyIsForOnePackage(t *testing.T) {
	d := newDesk(t)
	d.device.InitKey = d.device.Package()[5:37]
	first := upload(d.device)
	p := d.publish(first)[0]
	refused := func(why string, us ...inbox.Upload) {
		t.Helper()
		_, err := d.Publish(t.Context(), publication(us...))
		if !errors.Is(err, inbox.ErrReused) || strings.Contains(why, "twice") && !strings.Contains(err.Error(), "number 2") {
			t.Errorf("%s: %v", why, err)
		}
	}
	refused("while the other is listed", upload(d.device))
	d.device.InitKey = nil
	good := upload(d.device)
	d.device.InitKey = first.Package[5:37]
	refused("together with a good one", good, upload(d.device))
	d.wantOpen("all or none", p)
	d.publish(good)
	d.consume(p)
	refused("after it was used", first)
	d.device.InitKey = good.Package[9:41]
	refused("twice in a batch", upload(d.device), upload(d.device))
}

func TestTooMany(t *testing.T) {
	d := newDesk(t)
	var us []inbox.Upload
	for range 101 {
		us = append(us, upload(d.device))
	}
	if _, err := d.Publish(t.Context(), publication(us...)); !errors.Is(err, inbox.ErrTooMany) || !strings.Contains(err.Error(), "key_packages.max_per_device") {
		t.Errorf("101 at once: %v", err)
	}
	d.publish(us[:100]...)
	if _, err := d.Publish(t.Context(), publication(us[100])); !errors.Is(err, inbox.ErrTooMany) {
		t.Errorf("the 101st: %v", err)
	}
	other := inboxtest.NewClient(bobID, d.clock.Now())
	d.publish(upload(other))
}

func TestTooManyDevices(t *testing.T) {
	d := newDesk(t)
	for range 50 {
		d.publish(upload(inboxtest.NewClient(bobID, d.clock.Now())))
	}
	if _, err := d.Publish(t.Context(), publication(upload(d.device))); !errors.Is(err, inbox.ErrTooMany) {
		t.Errorf("the 51st device: %v", err)
	}
	if err := d.Remove(t.Context(), bob, bobID, d.open()[0].ID); err != nil {
		t.Fatal(err)
	}
	d.publish(upload(d.device))
}

// Post-quantum packages of 60 KB are kept unverified, until there are too many of
// them, or more than one transaction should carry.
func TestLargePackagesOfUnknownSuites(t *testing.T) {
	d := newDesk(t)
	d.device.Suite, d.device.Padding = 0xf5f5, 60_000
	if p := d.publish(upload(d.device))[0]; p.Verified || p.State != inbox.Listed {
		t.Errorf("%+v", p)
	}
	var us []inbox.Upload
	for range 20 {
		us = append(us, upload(d.device))
	}
	if _, err := d.Publish(t.Context(), publication(us...)); !errors.Is(err, inbox.ErrPackageSize) {
		t.Errorf("20 at once: %v", err)
	}
	var err error
	for n := 1; err == nil; n++ {
		if _, err = d.Publish(t.Context(), publication(upload(d.device))); n > 70 {
			t.Fatal("nothing stops them")
		}
	}
	if !errors.Is(err, inbox.ErrTooMany) || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("many: %v", err)
	}
}

// TestSizesAreExact: bounds of one package, a batch and all of a person's hold to the byte.
func TestSizesAreExact(t *testing.T) {
	d := newDesk(t)
	sized := func(size int) inbox.Upload {
		u := upload(d.device)
		u.Content = make([]byte, size-len(u.Package))
		return u
	}
	f := func(want error, size int) {
		t.Helper()
		ps, err := d.Publish(t.Context(), publication(sized(size)))
		if !errors.Is(err, want) || err == nil && ps[0].Size != size {
			t.Errorf("%d bytes: %v, want %v", size, err, want)
		}
	}
	f(nil, 1000)
	f(nil, 1<<20)
	f(inbox.ErrPackageSize, 1<<20+1)
	f(nil, 1<<20)
	f(nil, 1<<20)
	f(inbox.ErrTooMany, 1<<20)
	f(inbox.ErrTooMany, 1<<20-999)
	f(nil, 1<<20-1000)
	d = newDesk(t)
	d.device.Suite, d.device.Padding = 0xf5f5, 60_000
	d.device.Padding += inbox.MaxPackageBytes - len(d.device.Package())
	d.publish(upload(d.device))
	d.device.Padding++
	if _, err := d.Publish(t.Context(), publication(upload(d.device))); !errors.Is(err, inbox.ErrPackageSize) {
		t.Errorf("%d bytes: %v", inbox.MaxPackageBytes+1, err)
	}
}

// TestExpiredAreForgotten: by the next change, but not more of them than one transaction should carry.
func TestExpiredAreForgotten(t *testing.T) {
	d := newDesk(t)
	for range 3 {
		inboxtest.Fill(t, d.Directory, bob, inboxtest.NewClient(bobID, d.clock.Now()), 100)
	}
	d.clock.Advance(100 * 24 * time.Hour)
	d.device.Begins = d.clock.Now()
	for _, want := range []int{101, 2} {
		d.publish(upload(d.device))
		if pool, err := d.Pool(t.Context(), bob); err != nil || len(pool.Packages) != want {
			t.Errorf("%d packages are kept, want %d, %v", len(pool.Packages), want, err)
		}
	}
}

func TestExpiryRemovesByItself(t *testing.T) {
	d := newDesk(t)
	p := d.publish(upload(d.device))[0]
	d.clock.Advance(p.NotAfter.Sub(d.clock.Now()))
	d.wantOpen("in its last second", p)
	d.clock.Advance(time.Second)
	d.wantOpen("expired")
	if _, _, err := d.Item(t.Context(), bob, p.ID); !errors.Is(err, inbox.ErrNoPackage) {
		t.Errorf("Item: %v", err)
	}
	if got := d.claim("zoe"); len(got) != 0 {
		t.Errorf("claimed %+v", got)
	}
}

func TestClaimIsSticky(t *testing.T) {
	d := newDesk(t)
	all := d.publish(upload(d.device), upload(d.device), upload(d.device))
	zoe, yan := d.claim("zoe"), d.claim("yan")
	if len(zoe) != 1 || len(yan) != 1 || zoe[0].ID == yan[0].ID {
		t.Fatalf("%q %q", ids(zoe), ids(yan))
	}
	d.clock.Advance(inbox.HoldFor - time.Second)
	if again := d.claim("zoe"); again[0].ID != zoe[0].ID {
		t.Errorf("zoe got another one")
	}
	if third := d.claim("xia"); third[0].ID != all[2].ID {
		t.Errorf("xia got %q", ids(third))
	}
	if none := d.claim("wim"); len(none) != 0 {
		t.Errorf("wim got %q, which is somebody's", ids(none))
	}
	d.clock.Advance(time.Second)
	if free := d.claim("wim"); len(free) != 1 {
		t.Error("a hold that is over still holds")
	}
	d.wantOpen("reserving takes nothing from the collection", all...)
}

func TestClaimPerDeviceAndSuite(t *testing.T) {
	d := newDesk(t)
	tablet := inboxtest.NewClient(bobID, d.clock.Now())
	d.publish(upload(d.device), upload(d.device), upload(tablet), upload(tablet))
	tablet.Suite = 3
	d.publish(upload(tablet), upload(tablet))
	if got := d.claim("zoe"); len(got) != 3 {
		t.Errorf("%d packages for one device of one suite and one of two", len(got))
	}
}

func TestClaimFallsBackToLastResort(t *testing.T) {
	d := newDesk(t)
	normal := d.publish(upload(d.device))[0]
	d.device.LastResort = true
	last := d.publish(upload(d.device))[0]
	for _, c := range []struct {
		who  string
		want inbox.Package
	}{{"zoe", normal}, {"yan", last}, {"xia", last}, {"zoe", normal}} {
		if got := d.claim(c.who); len(got) != 1 || got[0].ID != c.want.ID {
			t.Errorf("%s got %q, want %q", c.who, ids(got), c.want.ID)
		}
	}
}

func TestOnlyPackageIsForEverybody(t *testing.T) {
	d := newDesk(t)
	only := d.publish(upload(d.device))[0]
	for _, who := range []string{"zoe", "yan", "service s"} {
		if got := d.claim(who); len(got) != 1 || got[0].ID != only.ID {
			t.Errorf("%s got %q", who, ids(got))
		}
	}
	other := d.publish(upload(d.device))[0]
	if got := d.claim("xia"); len(got) != 1 || got[0].ID != other.ID {
		t.Errorf("xia got %q, which zoe may still use, while another is free", ids(got))
	}
	another := d.publish(upload(d.device))[0]
	if got := d.claim("zoe"); len(got) != 1 || got[0].ID != another.ID {
		t.Errorf("zoe got %q, which yan may use as well, while another is free", ids(got))
	}
}

func TestLastResortIsLast(t *testing.T) {
	d := newDesk(t)
	d.device.LastResort = true
	d.publish(upload(d.device))
	d.device.LastResort = false
	normal := d.publish(upload(d.device))[0]
	if got := d.claim("zoe"); len(got) != 1 || got[0].ID != normal.ID {
		t.Errorf("zoe got %q, want %q", ids(got), normal.ID)
	}
}

func TestServiceGetsAnotherEachTimeWithinItsBudget(t *testing.T) {
	d := newDesk(t)
	for range 15 {
		d.publish(upload(d.device))
	}
	d.device.LastResort = true
	last := d.publish(upload(d.device))[0]
	seen := map[string]bool{}
	for range inbox.ServiceBudget {
		got := d.claim("service s")
		if len(got) != 1 || seen[got[0].ID] {
			t.Fatalf("got %q again", ids(got))
		}
		seen[got[0].ID] = true
	}
	if got := d.claim("service s"); got[0].ID != last.ID {
		t.Errorf("over its budget the service got %q", ids(got))
	}
	if got := d.claim("zoe"); got[0].ID == last.ID {
		t.Error("the service's budget is spent on zoe")
	}
}

func TestWelcomeConsumes(t *testing.T) {
	d := newDesk(t)
	all := d.publish(upload(d.device), upload(d.device), upload(d.device))
	d.claim("zoe")
	d.consume(all[0])
	d.wantOpen("consumed", all[1:]...)
	d.consume(all[0])
	d.wantOpen("consumed again", all[1:]...)
}

// One Welcome takes one package of a device, however many it names and however
// often it comes.
func TestWelcomeConsumesOnePerDevice(t *testing.T) {
	d := newDesk(t)
	tablet := inboxtest.NewClient(bobID, d.clock.Now())
	phone := d.publish(upload(d.device), upload(d.device), upload(d.device))
	other := d.publish(upload(tablet), upload(tablet))
	for range 3 {
		d.consume(phone[1], phone[0], phone[2], other[1], other[0])
		d.wantOpen("one of each", phone[0], phone[2], other[0])
	}
}

func TestWelcomeForSomebodyElseConsumesNothing(t *testing.T) {
	d := newDesk(t)
	all := d.publish(upload(d.device), upload(d.device))
	if err := d.Consume(t.Context(), []inbox.Owner{"eve"}, [][]byte{all[0].Ref, []byte("junk"), nil}); err != nil {
		t.Fatal(err)
	}
	d.wantOpen("not a recipient", all...)
}

func TestTheOnlyOneStaysAndIsUsed(t *testing.T) {
	d := newDesk(t)
	only := d.publish(upload(d.device))[0]
	d.consume(only)
	d.wantOpen("used", only)
	if s := d.open()[0].State; s != inbox.Used {
		t.Errorf("state %q", s)
	}
	if got := d.news(); !slices.Equal(got, []inbox.Kind{inbox.LastResortUsed}) {
		t.Errorf("notices %q", got)
	}
	renewed, err := d.Renew(t.Context(), publication(upload(d.device)), only.ID)
	if err != nil || renewed.State != inbox.Listed || renewed.ID != only.ID {
		t.Fatalf("%+v %v", renewed, err)
	}
	d.wantOpen("renewed", renewed)
	if got := d.news(); len(got) != 0 {
		t.Errorf("notices %q after the renewal", got)
	}
	d.consume(only) // a Welcome for the old one, late
	if d.open()[0].State != inbox.Listed {
		t.Error("a Welcome for the old package used the new one")
	}
}

func TestFreshPackageReplacesTheUsedOne(t *testing.T) {
	d := newDesk(t)
	only := d.publish(upload(d.device))[0]
	d.consume(only)
	fresh := d.publish(upload(d.device))
	d.wantOpen("replaced", fresh...)
}

func TestLastResortStays(t *testing.T) {
	d := newDesk(t)
	normal := d.publish(upload(d.device))[0]
	d.device.LastResort = true
	last := d.publish(upload(d.device))[0]
	d.consume(last)
	d.consume(last)
	d.wantOpen("used", normal, last)
	if got := d.news(); !slices.Equal(got, []inbox.Kind{inbox.LastResortUsed}) {
		t.Errorf("notices %q", got)
	}
	d.device.LastResort = false
	fresh := d.publish(upload(d.device))[0]
	d.wantOpen("an ordinary one does not replace it", normal, last, fresh)
	if got := d.news(); !slices.Equal(got, []inbox.Kind{inbox.LastResortUsed}) {
		t.Errorf("notices %q, and the last resort is still a used one", got)
	}
	d.device.LastResort = true
	next := d.publish(upload(d.device))[0]
	d.wantOpen("another last resort does", normal, fresh, next)
	if got := d.news(); len(got) != 0 {
		t.Errorf("notices %q", got)
	}
}

func TestLowWater(t *testing.T) {
	d := newDesk(t)
	var us []inbox.Upload
	for range 6 {
		us = append(us, upload(d.device))
	}
	all := d.publish(us...)
	d.consume(all[0])
	if got := d.news(); len(got) != 0 {
		t.Errorf("five left: %q", got)
	}
	d.consume(all[1])
	d.consume(all[2])
	if got := d.news(); !slices.Equal(got, []inbox.Kind{inbox.LowWater}) {
		t.Errorf("three left: %q", got)
	}
	d.publish(upload(d.device))
	if got := d.news(); !slices.Equal(got, []inbox.Kind{inbox.LowWater}) {
		t.Errorf("four again: %q", got)
	}
	d.publish(upload(d.device))
	if got := d.news(); len(got) != 0 {
		t.Errorf("five again: %q", got)
	}
}

func TestNewDeviceIsTold(t *testing.T) {
	d := newDesk(t)
	d.publish(upload(d.device))
	if got := d.news(); len(got) != 0 {
		t.Errorf("the first device: %q", got)
	}
	u := upload(inboxtest.NewClient(bobID, d.clock.Now()))
	u.Name, u.Public = "thief", false
	d.publish(u)
	pool, err := d.Pool(t.Context(), bob)
	if err != nil || len(pool.Notices) != 1 {
		t.Fatalf("%+v %v", pool.Notices, err)
	}
	if n := pool.Notices[0]; n.Kind != inbox.NewDevice || n.Name != "thief" || !slices.Equal(n.Others, []string{"phone"}) {
		t.Errorf("%+v", n)
	}
}

// Conversations has a new signature key in every package: its Update stays with the
// device, unless the device calls itself otherwise.
func TestUpdateWithANewSignatureKey(t *testing.T) {
	d := newDesk(t)
	p := d.publish(upload(d.device))[0]
	next := inboxtest.NewClient(bobID, d.clock.Now())
	renewed, err := d.Renew(t.Context(), publication(upload(next)), p.ID)
	if err != nil || renewed.Device != p.Device {
		t.Fatalf("%+v %v", renewed, err)
	}
	if got := d.news(); len(got) != 0 {
		t.Errorf("notices %q", got)
	}
	if again := d.publish(upload(next))[0]; again.Device != p.Device {
		t.Error("the key is not remembered as the device's")
	}
	u := upload(inboxtest.NewClient(bobID, d.clock.Now()))
	u.Name = "thief"
	if _, err := d.Renew(t.Context(), publication(u), p.ID); err != nil {
		t.Fatal(err)
	}
	if got := d.news(); !slices.Equal(got, []inbox.Kind{inbox.NewDevice}) {
		t.Errorf("notices %q", got)
	}
}

// TestRenewKeepsPrivacy: an Update can make a proposed package public, and takes nothing back.
func TestRenewKeepsPrivacy(t *testing.T) {
	f := func(want inbox.State, was, is bool) {
		t.Helper()
		d := newDesk(t)
		u := upload(d.device)
		u.Public = was
		p := d.publish(u)[0]
		next := upload(d.device)
		next.Public = is
		for range 2 { // the same bytes again are the same package
			if got, err := d.Renew(t.Context(), publication(next), p.ID); err != nil || got.State != want || got.ID != p.ID {
				t.Errorf("public %v, renewed %v: %+v, %v", was, is, got, err)
			}
		}
	}
	f(inbox.Proposed, false, false)
	f(inbox.Listed, false, true)
	f(inbox.Listed, true, false)
	f(inbox.Listed, true, true)
}

// TestRenamedDeviceIsNoNewOne: only who comes with another key and another name is told of.
func TestRenamedDeviceIsNoNewOne(t *testing.T) {
	for why, names := range map[string][2]string{"the same key": {"phone", "mobile"}, "no name now": {"phone", ""}, "no name before": {"", "phone"}} {
		d := newDesk(t)
		u := upload(d.device)
		u.Name = names[0]
		p := d.publish(u)[0]
		next := upload(d.device)
		if why != "the same key" {
			next = upload(inboxtest.NewClient(bobID, d.clock.Now()))
		}
		next.Name = names[1]
		if _, err := d.Renew(t.Context(), publication(next), p.ID); err != nil || len(d.news()) != 0 {
			t.Errorf("%s: %v, notices %q", why, err, d.news())
		}
	}
}

// TestAliases: the client's names are kept once each, if they are no longer than a name may be.
func TestAliases(t *testing.T) {
	d := newDesk(t)
	long := strings.Repeat("x", 512)
	u := upload(d.device)
	u.Aliases = []string{"", long, long + "x", "a", "a"}
	if p := d.publish(u)[0]; !slices.Equal(p.Aliases, []string{long, "a"}) {
		t.Errorf("%.40q", p.Aliases)
	}
}

// TestCounts: what inviters of a device can get, and get once.
func TestCounts(t *testing.T) {
	now := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	one := func(device string, state inbox.State, last bool) inbox.Package {
		return inbox.Package{ID: device + string(state), Device: device, State: state, LastResort: last, NotAfter: now}
	}
	over := one("phone", inbox.Listed, false)
	over.NotAfter = now.Add(-time.Second)
	p := inbox.Pool{Packages: []inbox.Package{
		one("phone", inbox.Listed, false), one("phone", inbox.Used, false), one("phone", inbox.Proposed, false), one("phone", inbox.Listed, true),
		over, one("tablet", inbox.Listed, false), one("tablet", inbox.Listed, false), one("tablet", inbox.Used, true),
	}}
	f := func(open, fresh int, device string) {
		t.Helper()
		if gotOpen, gotFresh := p.Counts(device, now); gotOpen != open || gotFresh != fresh {
			t.Errorf("%s: %d open, %d fresh, want %d and %d", device, gotOpen, gotFresh, open, fresh)
		}
	}
	f(3, 1, "phone")
	f(3, 2, "tablet")
	f(0, 0, "watch")
	if !p.Has("phonelisted") || p.Has("watch") {
		t.Error("Has")
	}
}

// TestReusable: of each device and suite the last resort, or the first.
func TestReusable(t *testing.T) {
	now := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	f := func(want string, last ...bool) {
		t.Helper()
		var p inbox.Pool
		for n, isLast := range last {
			for _, device := range []string{"phone", "tablet"} {
				p.Packages = append(p.Packages, inbox.Package{ID: fmt.Sprint(device, n), Device: device, State: inbox.Listed, LastResort: isLast, NotAfter: now})
			}
		}
		if got := fmt.Sprint(ids(p.Reusable(now))); got != want {
			t.Errorf("%v: %s, want %s", last, got, want)
		}
	}
	f("[]")
	f("[phone0 tablet0]", false, false)
	f("[phone1 tablet1]", false, true)
	f("[phone0 tablet0]", true, false)
	f("[phone0 tablet0]", true, true)
}

// TestNoticesAreKeptApart: by kind and device; a later one of both is in the place of the earlier. A device without a name
// is called by its id.
func TestNoticesAreKeptApart(t *testing.T) {
	d := newDesk(t)
	d.publish(upload(d.device))
	var only inbox.Package
	for range 2 {
		u := upload(inboxtest.NewClient(bobID, d.clock.Now()))
		u.Name = ""
		only = d.publish(u)[0]
	}
	d.consume(only)
	if got := d.news(); !slices.Equal(got, []inbox.Kind{inbox.NewDevice, inbox.NewDevice, inbox.LastResortUsed}) {
		t.Errorf("notices %q", got)
	}
	pool, err := d.Pool(t.Context(), bob)
	must(t, err)
	if n := pool.Notices[1]; n.Name != only.Device || n.Device != only.Device || !slices.Equal(n.Others, []string{"phone", pool.Notices[0].Device}) {
		t.Errorf("%+v", n)
	}
}

// TestBurn: of each device the last resort stays, or the newest of those that were listed; nothing that nobody was shown.
func TestBurn(t *testing.T) {
	d := newDesk(t)
	tablet := inboxtest.NewClient(bobID, d.clock.Now())
	d.device.LastResort = true
	last := d.publish(upload(d.device))[0]
	d.device.LastResort = false
	others := d.publish(upload(d.device), upload(tablet), upload(tablet))
	hidden := upload(d.device)
	hidden.Public = false
	proposed := d.publish(hidden)[0]
	d.claim("zoe")
	pool, err := d.Pool(t.Context(), bob)
	must(t, err)
	inbox.Burn(&pool, d.Now())
	if got := ids(pool.Packages); !slices.Equal(got, []string{last.ID, others[2].ID, proposed.ID}) {
		t.Errorf("%q are left of %q", got, ids(append(others, last, proposed)))
	}
	for _, one := range pool.Packages {
		if one.Hold != (inbox.Hold{}) || (one.State == inbox.Used) == (one.ID == proposed.ID) {
			t.Errorf("%+v", one)
		}
	}
}

func TestExpiringIsTold(t *testing.T) {
	d := newDesk(t)
	p := d.publish(upload(d.device))[0]
	d.clock.Advance(83 * 24 * time.Hour)
	if got := d.news(); len(got) != 0 {
		t.Errorf("a week before: %q", got)
	}
	d.clock.Advance(time.Second)
	pool, err := d.Pool(t.Context(), bob)
	if err != nil {
		t.Fatal(err)
	}
	news := pool.News(d.Now())
	if len(news) != 1 || news[0].Kind != inbox.Expiring || news[0].Package != p.ID || !news[0].At.Equal(p.NotAfter) {
		t.Errorf("%+v", news)
	}
}

func TestLogTellsAllAndVerifies(t *testing.T) {
	d := newDesk(t)
	u := upload(d.device)
	u.Public = false
	p := d.publish(u)[0]
	must(t, d.List(t.Context(), bob, bobID, p.ID))
	_, err := d.Renew(t.Context(), publication(upload(d.device)), p.ID)
	must(t, err)
	d.publish(upload(d.device))
	must(t, d.Remove(t.Context(), bob, bobID, p.ID))
	entries, err := d.History(t.Context(), bob, 0, 100)
	must(t, err)
	want := []inbox.Action{inbox.ActionPropose, inbox.ActionAdd, inbox.ActionUpdate, inbox.ActionPublish, inbox.ActionRemove}
	if len(entries) != len(want) {
		t.Fatalf("%d entries", len(entries))
	}
	for i, e := range entries {
		if e.Action != want[i] {
			t.Errorf("entry %d is %q, want %q", i+1, e.Action, want[i])
		}
	}
	head, err := inbox.VerifyLog(inbox.Head{}, entries, bobID, d.PublicKey())
	if pool, _ := d.Pool(t.Context(), bob); err != nil || head != pool.Log {
		t.Errorf("VerifyLog: %+v %v", head, err)
	}
}

func TestLogShowsEveryChange(t *testing.T) {
	d := newDesk(t)
	d.publish(upload(d.device), upload(d.device), upload(d.device))
	good, err := d.History(t.Context(), bob, 0, 100)
	must(t, err)
	other, _, _ := ed25519.GenerateKey(nil)
	for name, c := range map[string]struct {
		change func([]inbox.LogEntry) []inbox.LogEntry
		actor  string
		key    ed25519.PublicKey
	}{
		"nothing":           {func(es []inbox.LogEntry) []inbox.LogEntry { return es }, bobID, d.PublicKey()},
		"an entry left out": {func(es []inbox.LogEntry) []inbox.LogEntry { return slices.Delete(es, 1, 2) }, bobID, d.PublicKey()},
		"first left out":    {func(es []inbox.LogEntry) []inbox.LogEntry { return es[1:] }, bobID, d.PublicKey()},
		"order":             {func(es []inbox.LogEntry) []inbox.LogEntry { es[0], es[1] = es[1], es[0]; return es }, bobID, d.PublicKey()},
		"twice":             {func(es []inbox.LogEntry) []inbox.LogEntry { return append(es, es[2]) }, bobID, d.PublicKey()},
		"time":              {func(es []inbox.LogEntry) []inbox.LogEntry { es[1].Time = es[1].Time.Add(time.Second); return es }, bobID, d.PublicKey()},
		"action":            {func(es []inbox.LogEntry) []inbox.LogEntry { es[2].Action = inbox.ActionRemove; return es }, bobID, d.PublicKey()},
		"package":           {func(es []inbox.LogEntry) []inbox.LogEntry { es[2].Package = "x"; return es }, bobID, d.PublicKey()},
		"key":               {func(es []inbox.LogEntry) []inbox.LogEntry { es[2].SignatureKey[0] ^= 1; return es }, bobID, d.PublicKey()},
		"signature":         {func(es []inbox.LogEntry) []inbox.LogEntry { es[0].Signature = es[1].Signature; return es }, bobID, d.PublicKey()},
		"another's log":     {func(es []inbox.LogEntry) []inbox.LogEntry { return es }, "https://social.example/users/eve", d.PublicKey()},
		"another key":       {func(es []inbox.LogEntry) []inbox.LogEntry { return es }, bobID, other},
	} {
		_, err := inbox.VerifyLog(inbox.Head{}, c.change(slices.Clone(good)), c.actor, c.key)
		if isGood := name == "nothing"; isGood != (err == nil) || !isGood && !errors.Is(err, inbox.ErrKeyLog) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "an entry left out" && !strings.Contains(err.Error(), "entry 3 stands where 2 belongs") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLogEntryInJSON: a hash that is not one is no entry.
func TestLogEntryInJSON(t *testing.T) {
	hash := base64.StdEncoding.EncodeToString(make([]byte, 32))
	f := func(ok bool, previous, key string) {
		t.Helper()
		var e inbox.LogEntry
		text := fmt.Sprintf(`{"n": 7, "time": "2026-11-25T00:00:00Z", "previous": %q, "signatureKeySHA256": %q}`, previous, key)
		if err := json.Unmarshal([]byte(text), &e); (err == nil) != ok || (e.N == 7) != ok {
			t.Errorf("%s: %+v, %v", text, e, err)
		}
	}
	f(true, hash, hash)
	f(false, hash[:40], hash)
	f(false, hash, hash[:40])
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
