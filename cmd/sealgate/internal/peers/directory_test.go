package peers_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// invitation: in one suite, an inviter with inviter's software invites, by a package out of
// the directory, an owner who uses ts-mls.
type invitation struct {
	inviter string
	number  string // of the suite, as openmls wants it
	suite   string
}

// invitations have every suite of RFC 9420, and OpenMLS in each that it knows.
func invitations() []invitation {
	return []invitation{
		{"openmls", "1", "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519"},
		{"openmls", "2", "MLS_128_DHKEMP256_AES128GCM_SHA256_P256"},
		{"openmls", "3", "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519"},
		{"tsmls", "4", "MLS_256_DHKEMX448_AES256GCM_SHA512_Ed448"},
		{"openmls", "5", "MLS_256_DHKEMP521_AES256GCM_SHA512_P521"},
		{"tsmls", "6", "MLS_256_DHKEMX448_CHACHA20POLY1305_SHA512_Ed448"},
		{"openmls", "7", "MLS_256_DHKEMP384_AES256GCM_SHA384_P384"},
	}
}

func (i invitation) owner() string { return "keys" + i.number }

// keyOwners are the local people of the invitations, and one who is refused.
func keyOwners() []string {
	out := []string{"wire"}
	for _, i := range invitations() {
		out = append(out, i.owner())
	}
	return out
}

// keyDirectory: clients publish through their outboxes, and real servers and clients take
// from the collection what they invite with.
func (w *world) keyDirectory(t *testing.T) {
	for _, i := range invitations() {
		t.Run(i.inviter+" invites with suite "+i.number, func(t *testing.T) { w.invites(t, i) })
	}
	t.Run("another's credential is refused", w.refusesWire)
}

// invites: four packages are published; alice's signed read has one reserved, always the
// same, and the bot's, a Service, others; the Welcome made with alice's is opened and has used it up.
func (w *world) invites(t *testing.T, i invitation) {
	const count = 4
	var ready struct{ Actor string }
	suite := i.suite
	if i.inviter == "openmls" {
		suite = i.number
	}
	theirs := startPeer(t, &ready, "device.mjs", i.inviter, w.alice.Actor, suite)
	owners := startPeer(t, &ready, "device.mjs", "tsmls", w.actor(i.owner()), i.suite)
	token := w.snac.token(t, w.base, i.owner())
	var published struct{ URLs []string }
	owners.call(t, "publish", args{"token": token, "count": count}, &published)
	if all := w.keyItems(t, i.owner()); len(all) != count || !slices.Equal(slices.Sorted(slices.Values(all)), slices.Sorted(slices.Values(published.URLs))) {
		t.Fatalf("anybody sees %q of %q", all, published.URLs)
	}
	mine := w.claim(t, i.owner(), "cavage")
	if again := w.claim(t, i.owner(), "rfc9421"); again != mine {
		t.Errorf("alice gets %q after %q", again, mine)
	}
	bots := [...]string{w.botClaim(t, i.owner()), w.botClaim(t, i.owner())}
	if bots[0] == bots[1] || slices.Contains(bots[:], mine) {
		t.Errorf("the bot, which speaks for many, gets %q, alice %q", bots, mine)
	}

	var item struct{ Content, CipherSuite string }
	decode(t, getActor(t, mine).body, &item)
	if item.CipherSuite != i.suite {
		t.Errorf("the item's suite is %q", item.CipherSuite)
	}
	address := args{"to": w.actor(i.owner()), "conversation": w.alice.Actor + "/conversations/" + i.owner()}
	w.bring(t, theirs, "invite", args{"base64": item.Content, "to": address["to"], "conversation": address["conversation"]}, "cavage")
	if left := w.keyItems(t, i.owner()); len(left) != count-1 || slices.Contains(left, mine) {
		t.Errorf("after the Welcome anybody sees %q, which has %q", left, mine)
	}
	words := "out of the directory, suite " + i.number
	w.bring(t, theirs, "write", args{"text": words, "to": address["to"], "conversation": address["conversation"]}, "cavage")
	var inbox struct{ Read []struct{ Kind, Text string } }
	owners.call(t, "read", args{"token": token}, &inbox)
	if len(inbox.Read) != 2 || inbox.Read[0].Kind != "welcome" || inbox.Read[1].Text != words {
		t.Errorf("the owner reads %+v", inbox.Read)
	}
	if next := w.claim(t, i.owner(), "cavage"); next == mine || slices.Contains(bots[:], next) {
		t.Errorf("alice's next is %q: hers was %q, the bot's %q", next, mine, bots)
	}
}

func (w *world) keysURL(owner string) string { return w.base + "/e2ee/users/" + owner + "/keyPackages" }

type keyCollection struct {
	TotalItems int
	Items      []string
}

// keyItems is what anybody sees.
func (w *world) keyItems(t *testing.T, owner string) []string {
	t.Helper()
	var c keyCollection
	decode(t, getActor(t, w.keysURL(owner)).body, &c)
	return c.Items
}

// botClaim is what the bot's own signed fetch gets: one package.
func (w *world) botClaim(t *testing.T, owner string) string {
	t.Helper()
	var got struct{ Items []string }
	w.bot.call(t, "items", args{"url": w.keysURL(owner)}, &got)
	if len(got.Items) != 1 {
		t.Fatalf("the bot gets %q", got.Items)
	}
	return got.Items[0]
}

// claim is what alice's server gets when Fedify signs the fetch: one package.
func (w *world) claim(t *testing.T, owner, scheme string) string {
	t.Helper()
	var got struct {
		Status int
		Body   string
	}
	w.fedify.call(t, "read", args{"url": w.keysURL(owner), "scheme": scheme}, &got)
	var c keyCollection
	decode(t, []byte(got.Body), &c)
	if got.Status != http.StatusOK || c.TotalItems != 1 || len(c.Items) != 1 {
		t.Fatalf("alice gets %s %s", strconv.Itoa(got.Status), got.Body)
	}
	return c.Items[0]
}

// refusesWire: core-crypto cannot put an actor's id in its credential; the owner is told
// what it names instead.
func (w *world) refusesWire(t *testing.T) {
	var ready struct{ Actor string }
	own := startPeer(t, &ready, "device.mjs", "openmls", w.actor("wire"), "1")
	failure := own.try(t, "publish", args{"token": w.snac.token(t, w.base, "wire"), "count": 1}, nil)
	if !strings.Contains(failure, ": 400 ") || !strings.Contains(failure, "@example.org") || !strings.Contains(failure, w.actor("wire")) {
		t.Errorf("the client is told %s", failure)
	}
	if got := w.keyItems(t, "wire"); len(got) != 0 {
		t.Errorf("the collection has %q", got)
	}
}
