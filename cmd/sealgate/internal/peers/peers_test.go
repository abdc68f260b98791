package peers_test

import (
	"testing"
)

// world is everything that runs: the instance behind the gateway, and the
// servers of other people.
type world struct {
	binary string
	snac   *snac
	tap    *tap // between gateway and instance
	*gateway

	fedify *peer
	alice  struct{ Actor, Inbox, Handle string } // of fedify
	bot    *peer
	robot  struct{ Actor, Key string } // of bot
}

// TestPeers builds the gateway and tells every story with it. The people of
// the instance are one per story, so that no story reads another's messages.
func TestPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("the real peers are left out by -short")
	}
	requirePeers(t)
	domain := freeAddress(t)
	w := &world{binary: buildGateway(t.Context(), t)}
	w.snac = startSnac(t, domain, append([]string{"bob", "ivy", "carol", "dave", "erin"}, keyOwners()...)...)
	w.tap = startTap(t, w.snac.address)
	keys := t.TempDir()
	w.snac.keyFile(t, keys, "bob")
	w.gateway = launch(t, setup{binary: w.binary, domain: domain, upstream: w.tap.address, software: "snac", keys: keys})
	w.fedify = startPeer(t, &w.alice, "fedify.mjs")
	w.bot = startPeer(t, &w.robot, "bot.mjs")

	t.Run("an instance works behind the gateway", w.instance)
	t.Run("a note arrives in its timeline", w.note)
	t.Run("a closing instance is never a bad gateway", w.staleness)
	t.Run("fedify delivers", w.fedifyDelivers)
	t.Run("activitypub-bot delivers", w.botDelivers)
	t.Run("a client decrypts what ts-mls wrote", func(t *testing.T) {
		w.conversation(t, client{library: "tsmls", owner: "carol", handshake: "private"})
	})
	t.Run("a client decrypts what ts-mls wrote with P-256", func(t *testing.T) {
		w.conversation(t, client{
			library: "tsmls", owner: "dave", handshake: "public",
			suite: "MLS_128_DHKEMP256_AES128GCM_SHA256_P256",
		})
	})
	t.Run("a client decrypts what OpenMLS wrote", func(t *testing.T) {
		w.conversation(t, client{library: "openmls", owner: "erin", handshake: "public"})
	})
	t.Run("the key directory", w.keyDirectory)
	t.Run("peers take what the gateway sends", w.sends)
	t.Run("libraries verify what the gateway signs", w.verifiable)
}

// actor is a local person's id. snac's people live at the root.
func (w *world) actor(name string) string { return w.base + "/" + name }
