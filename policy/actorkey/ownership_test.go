package actorkey_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/sealgate/sealgate/policy/actorkey"
)

func TestShapesOfPeers(t *testing.T) {
	p := newPeer(t)
	k := newKeys(t, actorkey.Options{})
	rsa := &rsaKey().PublicKey

	// Mastodon, Fedify, Bonfire, snac: a fragment of the actor.
	p.serve("/users/alice", p.actor(t, "/users/alice", rsa))
	alice := p.URL + "/users/alice"
	mustKey(t, k, alice+"#main-key", alice, rsa)
	// Emissary: the actor itself, the first key.
	mustKey(t, k, alice, alice, rsa)

	// Mastodon 4.7: several keys, one of them FEP-521a.
	dave := p.actor(t, "/ap/users/1", rsa)
	daveID := p.URL + "/ap/users/1"
	dave["publicKey"] = []any{dave["publicKey"], m{"id": daveID + "#rsa-2", "owner": daveID, "publicKeyPem": pemOf(t, rsa)}}
	dave["assertionMethod"] = []any{m{
		"id": daveID + "#ed25519-key", "type": "Multikey", "controller": daveID,
		"publicKeyMultibase": multikey([]byte{0xed, 1}, edPublic),
	}}
	p.serve("/ap/users/1", dave)
	mustKey(t, k, daveID+"#main-key", daveID, rsa)
	mustKey(t, k, daveID+"#rsa-2", daveID, rsa)
	mustKey(t, k, daveID+"#ed25519-key", daveID, edPublic)
	mustKey(t, k, daveID, daveID, rsa)

	// activitypub-bot: a key document of its own; the actor embeds or lists it.
	okID := p.URL + "/user/ok"
	doc := m{"id": okID + "/publickey", "type": "CryptographicKey", "owner": okID, "publicKeyPem": pemOf(t, rsa)}
	p.serve("/user/ok/publickey", doc)
	p.serve("/user/ok", m{"id": okID, "type": "Service", "inbox": okID + "/inbox", "publicKey": doc})
	mustKey(t, k, okID+"/publickey", okID, rsa)
	lister := newKeys(t, actorkey.Options{})
	p.serve("/user/ok", m{"id": okID, "type": "Service", "inbox": okID + "/inbox", "publicKey": okID + "/publickey"})
	mustKey(t, lister, okID+"/publickey", okID, rsa)
	for id, want := range map[string]bool{okID + "/publickey": true, alice: false} {
		if key, err := k.Key(t.Context(), id); err != nil || key.Agent != want {
			t.Errorf("%s speaks for many: %v, want %v (%v)", id, key.Agent, want, err)
		}
	}

	// GoToSocial: the key's URL answers with a stub of the actor.
	gts := p.actor(t, "/users/gts", rsa)
	gtsID := p.URL + "/users/gts"
	gts["publicKey"] = m{"id": gtsID + "/main-key", "owner": gtsID, "publicKeyPem": pemOf(t, rsa)}
	p.serve("/users/gts", gts)
	p.serve("/users/gts/main-key", gts)
	mustKey(t, k, gtsID+"/main-key", gtsID, rsa)

	// A Multikey with a document of its own, listed by its actor.
	carol := p.URL + "/carol"
	p.serve("/carol", m{"id": carol, "inbox": carol + "/in", "assertionMethod": []any{carol + "/keys/1"}})
	p.serve("/carol/keys/1", m{
		"id": carol + "/keys/1", "type": "Multikey", "controller": carol,
		"publicKeyMultibase": multikey([]byte{0xed, 1}, edPublic),
	})
	mustKey(t, k, carol+"/keys/1", carol, edPublic)
}

func TestAKeyDocumentProvesNothing(t *testing.T) {
	victim, evil := newPeer(t), newPeer(t)
	k := newKeys(t, actorkey.Options{})
	rsa := &rsaKey().PublicKey
	alice := victim.URL + "/users/alice"
	victim.serve("/users/alice", victim.actor(t, "/users/alice", rsa))
	own := pemOf(t, edPublic)

	// Another host's key claims an actor of a good one.
	evil.serve("/key", m{"id": evil.URL + "/key", "owner": alice, "publicKeyPem": own})
	mustFail(t, k, evil.URL+"/key", actorkey.ErrNoKey)
	evil.serve("/stub", m{"id": alice, "publicKey": m{"id": evil.URL + "/stub", "owner": alice, "publicKeyPem": own}})
	mustFail(t, k, evil.URL+"/stub", actorkey.ErrNoKey)
	// An actor of the evil host embeds a key that says it is Alice's.
	mallory := evil.URL + "/mallory"
	evil.serve("/mallory", m{"id": mallory, "inbox": "x", "publicKey": m{"id": mallory + "#k", "owner": alice, "publicKeyPem": own}})
	mustFail(t, k, mallory+"#k", actorkey.ErrNoKey)
	mustFail(t, k, mallory, actorkey.ErrNoKey)
	// An actor document of the evil host calls itself Alice.
	evil.serve("/key2", m{"id": evil.URL + "/key2", "owner": evil.URL + "/m2", "publicKeyPem": own})
	evil.serve("/m2", m{"id": alice, "inbox": "x", "publicKey": m{"id": evil.URL + "/key2", "owner": alice, "publicKeyPem": own}})
	mustFail(t, k, evil.URL+"/key2", actorkey.ErrNoKey)
	// What an actor only lists must be that key, and nobody else's.
	lister := evil.URL + "/lister"
	evil.serve("/lister", m{"id": lister, "inbox": "x", "publicKey": []any{evil.URL + "/k3", evil.URL + "/k4", evil.URL + "/k5"}})
	evil.serve("/k3", m{"id": lister, "publicKey": m{"id": evil.URL + "/k3", "owner": mallory, "publicKeyPem": own}})
	mustFail(t, k, evil.URL+"/k3", actorkey.ErrNoKey)
	evil.serve("/k4", m{"id": lister, "publicKey": m{"id": evil.URL + "/other", "owner": lister, "publicKeyPem": own}})
	mustFail(t, k, evil.URL+"/k4", actorkey.ErrNoKey)
	evil.serve("/k5", m{"id": lister, "publicKey": m{"id": evil.URL + "/k5", "owner": lister, "publicKeyPem": own}})
	mustKey(t, k, evil.URL+"/k5", lister, edPublic)
	// An actor lists a key on another host.
	evil.serve("/far", m{"id": evil.URL + "/far", "inbox": "x", "publicKey": victim.URL + "/k"})
	victim.serve("/k", m{"id": victim.URL + "/k", "owner": evil.URL + "/far", "publicKeyPem": own})
	mustFail(t, k, victim.URL+"/k", actorkey.ErrNoKey)
	// A file that somebody uploaded to the good host claims Alice.
	victim.serve("/media/1", m{"id": victim.URL + "/media/1", "owner": alice, "publicKeyPem": own})
	mustFail(t, k, victim.URL+"/media/1", actorkey.ErrNoKey)
	victim.serve("/media/2", m{"id": alice, "inbox": "x", "publicKey": m{"id": victim.URL + "/media/2", "owner": alice, "publicKeyPem": own}})
	mustFail(t, k, victim.URL+"/media/2", actorkey.ErrNoKey)
	// The actor's id leads to another host.
	victim.handle("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, evil.URL+"/moved", http.StatusFound)
	})
	evil.serve("/moved", m{"id": victim.URL + "/moved", "inbox": "x", "publicKey": m{
		"id": victim.URL + "/moved#k", "owner": victim.URL + "/moved", "publicKeyPem": own,
	}})
	mustFail(t, k, victim.URL+"/moved#k", actorkey.ErrNoKey)
	// Nothing of this spoiled the real key.
	mustKey(t, k, alice+"#main-key", alice, rsa)
}

func TestIDsAreComparedExactly(t *testing.T) {
	p := newPeer(t)
	k := newKeys(t, actorkey.Options{})
	alice := p.URL + "/users/alice"
	p.serve("/users/alice", p.actor(t, "/users/alice", edPublic))
	p.serve("/users/Alice", p.actor(t, "/users/alice", edPublic))
	p.serve("/users/alice/", p.actor(t, "/users/alice", edPublic))
	p.serve("/users/alice?x=1", p.actor(t, "/users/alice", edPublic))
	mustKey(t, k, alice+"#main-key", alice, edPublic)
	for _, id := range []string{
		alice + "#Main-Key", alice + "#", alice + "#main-key2", alice + "/#main-key", alice + "?x=1#main-key",
		p.URL + "/users/Alice#main-key", p.URL + "/users/Alice", alice + "/",
	} {
		mustFail(t, k, id, actorkey.ErrNoKey)
	}
	// A numeric twin: the named document calls itself by its number.
	p.serve("/users/bob", p.actor(t, "/ap/users/2", edPublic))
	p.serve("/ap/users/2", p.actor(t, "/ap/users/2", edPublic))
	mustFail(t, k, p.URL+"/users/bob#main-key", actorkey.ErrNoKey)
	mustKey(t, k, p.URL+"/ap/users/2#main-key", p.URL+"/ap/users/2", edPublic)
	// JSON names, too.
	p.serve("/case", m{"ID": p.URL + "/case", "Inbox": "x", "PublicKey": m{"id": p.URL + "/case#k", "publicKeyPem": pemOf(t, edPublic)}})
	mustFail(t, k, p.URL+"/case#k", actorkey.ErrNoKey)
}

func TestBadDocuments(t *testing.T) {
	p := newPeer(t)
	k := newKeys(t, actorkey.Options{})
	id := p.URL + "/a"
	f := func(key m) {
		t.Helper()
		p.serve("/a", m{"id": id, "inbox": "x", "publicKey": key})
		fresh := newKeys(t, actorkey.Options{})
		mustFail(t, fresh, id+"#k", actorkey.ErrNoKey)
	}
	good := pemOf(t, edPublic)
	f(m{})
	f(m{"id": id + "#k", "owner": id})
	f(m{"id": id + "#k", "owner": id, "publicKeyPem": "no"})
	f(m{"id": id + "#k", "owner": id, "publicKeyPem": 5})
	f(m{"id": id + "#k", "owner": id, "publicKeyPem": strings.ReplaceAll(good, "PUBLIC", "PRIVATE")})
	f(m{"id": id + "#k", "owner": id, "publicKeyMultibase": "z"})
	f(m{"id": id + "#k", "owner": id, "publicKeyMultibase": "z0OIl"})
	f(m{"id": id + "#k", "owner": id, "publicKeyMultibase": "u" + multikey([]byte{0xed, 1}, edPublic)[1:]})
	f(m{"id": id + "#k", "owner": id, "publicKeyMultibase": multikey([]byte{0x12, 0}, edPublic)})
	f(m{"id": id + "#k", "owner": id, "publicKeyMultibase": multikey([]byte{0xed, 1}, edPublic[:31])})
	f(m{"id": id + "#k", "owner": id, "publicKeyMultibase": "z" + strings.Repeat("2", 100000)})
	f(m{"id": id + "#k", "owner": id + "2", "publicKeyPem": good})
	f(m{"id": []any{id + "#k"}, "owner": id, "publicKeyPem": good})
	weak := `-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDCFENGw33yGihy92pDjZQhl0C3
6rPJj+CvfSC8+q28hxA161QFNUd13wuCTUcq0Qd2qsBe/2hFyc2DCJJg0h1L78+6
Z4UMR7EOcpfdUE9Hf3m/hs+FUR45uBJeDK1HSFHD8bHKD6kv8FPGfJTotc+2xjJw
oYi+1hqp1fIekaxsyQIDAQAB
-----END PUBLIC KEY-----`
	f(m{"id": id + "#k", "owner": id, "publicKeyPem": weak})
	for path, body := range map[string]string{
		"/garbage": "garbage", "/array": "[1]", "/null": "null", "/string": `"x"`, "/empty": "", "/deep": strings.Repeat("[", 20000),
	} {
		p.handle(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/activity+json")
			_, _ = w.Write([]byte(body))
		})
		mustFail(t, k, p.URL+path+"#k", actorkey.ErrNoKey)
	}
}

// TestLongLists: of an actor with very many keys the first hundred count.
func TestLongLists(t *testing.T) {
	p := newPeer(t)
	id := p.URL + "/a"
	doc := m{"id": id, "inbox": "x"}
	for _, name := range []string{"publicKey", "assertionMethod"} {
		list := make([]any, 101)
		for i := range list {
			list[i] = m{"id": fmt.Sprint(id, "#", name, i), "owner": id, "publicKeyPem": pemOf(t, edPublic)}
		}
		doc[name] = list
	}
	p.serve("/a", doc)
	k := newKeys(t, actorkey.Options{})
	for _, name := range []string{"#publicKey", "#assertionMethod"} {
		mustKey(t, k, id+name+"99", id, edPublic)
		mustFail(t, k, id+name+"100", actorkey.ErrNoKey)
	}
}

func TestBadKeyIDs(t *testing.T) {
	k := newKeys(t, actorkey.Options{})
	for _, id := range []string{
		"", "x", "acct:a@b.example", "did:key:z6Mk", "ftp://a.example/", "https://", "https:///x", "https:x", "//a.example/x",
		"https://user@a.example/x", "https://a.example/ space", "https://a.example/%zz", "https://a.example:port/",
		"HTTPS://a.example/x", "https://a.example/" + strings.Repeat("x", 3000), "file:///etc/passwd", "https://[::1",
		"javascript:alert(1)", "https://a.example/\x00",
		"https://a.example./x", "https://a.example.:443/x", "https://a.example:/x", "https://a.example:0443/x", // spellings of a host
	} {
		mustFail(t, k, id, actorkey.ErrNoKey)
	}
}

// TestASafeKeyIsNotAskedForUnsafely: https speaks for https only.
func TestASafeKeyIsNotAskedForUnsafely(t *testing.T) {
	k := newKeys(t, actorkey.Options{Client: &http.Client{Transport: answer(func(r *http.Request) (*http.Response, error) {
		if r.URL.Scheme != "https" {
			t.Errorf("fetched %s", r.URL)
		}
		if r.URL.Path == "/moved" {
			moved := reply(r, http.StatusFound, "")
			moved.Header.Set("Location", "http://a.example/moved")
			return moved, nil
		}
		return reply(r, http.StatusOK, `{"id":"https://a.example/key","owner":"http://a.example/a"}`), nil
	})}})
	mustFail(t, k, "https://a.example/key", actorkey.ErrNoKey)
	mustFail(t, k, "https://a.example/moved", actorkey.ErrNoKey)
}

func TestKindsOfKeys(t *testing.T) {
	p := newPeer(t)
	f := func(text string, good bool) {
		t.Helper()
		id := p.URL + "/a"
		p.serve("/a", m{"id": id, "inbox": "x", "publicKey": m{"id": id + "#k", "owner": id, "publicKeyPem": text}})
		if key, err := newKeys(t, actorkey.Options{}).Key(t.Context(), id+"#k"); (err == nil) != good || err != nil && !errors.Is(err, actorkey.ErrNoKey) {
			t.Errorf("%T, %v", key.Public, err)
		}
	}
	f(string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)})), true)
	for curve, good := range map[elliptic.Curve]bool{elliptic.P224(): false, elliptic.P256(): true, elliptic.P384(): true, elliptic.P521(): false} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		f(pemOf(t, &key.PublicKey), good)
	}
	bits := func(n uint) *rsa.PublicKey {
		return &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), int(n)-1, 1), E: 65537}
	}
	f(pemOf(t, bits(2047)), false)
	f(pemOf(t, bits(2048)), true)
	f(pemOf(t, bits(8192)), true)
	f(pemOf(t, bits(8193)), false)
}

// TestErrorsAreShort: what a server writes in its documents, or in its redirects, is not what is remembered of it.
func TestErrorsAreShort(t *testing.T) {
	long := strings.Repeat("\x01", 100_000)
	p := newPeer(t)
	k := newKeys(t, actorkey.Options{})
	p.serve("/key", m{"id": p.URL + "/key", "owner": p.URL + "/a"})
	p.serve("/a", m{"id": long})
	p.serve("/owner", m{"id": p.URL + "/owner", "inbox": "x", "publicKey": m{"id": p.URL + "/owner#k", "owner": long}})
	p.handle("/moved", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "https://"+strings.Repeat("a", 60_000)+"/")
		w.WriteHeader(http.StatusFound)
	})
	p.handle("/nowhere", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://%zz/"+strings.Repeat("a", 60_000))
		w.WriteHeader(http.StatusFound)
	})
	for id, want := range map[string]error{
		"/key": actorkey.ErrNoKey, "/owner#k": actorkey.ErrNoKey, "/moved": actorkey.ErrNoKey, "/nowhere": actorkey.ErrUnavailable,
	} {
		if _, err := k.Key(t.Context(), p.URL+id); !errors.Is(err, want) || len(err.Error()) > 1024 {
			t.Errorf("%s: %d bytes of error, %.100v", id, len(err.Error()), err)
		}
	}
}

func TestLocalKeysNeedNoFetch(t *testing.T) {
	mine := actorkey.Key{ID: "https://social.example/e2ee/actor#main-key", Actor: "https://social.example/e2ee/actor", Public: edPublic}
	k := newKeys(t, actorkey.Options{
		Client: &http.Client{Transport: answer(func(r *http.Request) (*http.Response, error) {
			t.Errorf("fetched %s", r.URL)
			return nil, http.ErrServerClosed
		})},
		Local: func(id string) (actorkey.Key, bool) { return mine, id == mine.ID },
	})
	mustKey(t, k, mine.ID, mine.Actor, edPublic)
	if key, err := k.Refresh(t.Context(), mine.ID); err != nil || key.Actor != mine.Actor {
		t.Fatal(key, err)
	}
}
