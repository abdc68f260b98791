package actorkey

import (
	"bytes"
	"crypto"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// document is what matters of an actor's or a key's document. Names are
// compared exactly: encoding/json would take "ID" for "id", so objects are read
// as maps.
type document struct {
	id     string
	name   string      // preferredUsername
	owner  string      // owner or controller, of a key document
	inbox  bool        // it has one, so it means to be an actor
	agent  bool        // its type is Application or Service
	listed []string    // ids of keys it names without embedding them
	keys   []keyObject // keys it embeds, publicKey before assertionMethod
	self   keyObject   // the key that the document itself is
}

// keyObject is an embedded key: publicKeyPem, or a Multikey.
type keyObject struct {
	id, owner, pem, multibase string
}

type object = map[string]json.RawMessage

func readDocument(body []byte) (document, error) {
	var o object
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), &o); err != nil {
		return document{}, fmt.Errorf("%w: document is not a JSON object", ErrNoKey)
	}
	self := readKey(o)
	d := document{id: self.id, name: text(o["preferredUsername"]), owner: self.owner, inbox: text(o["inbox"]) != "", agent: isAgent(o["type"]), self: self}
	for _, name := range []string{"publicKey", "assertionMethod"} {
		for _, member := range members(o[name]) {
			if id := text(member); id != "" {
				d.listed = append(d.listed, id)
				continue
			}
			var k object
			if json.Unmarshal(member, &k) == nil && k != nil {
				d.keys = append(d.keys, readKey(k))
			}
		}
	}
	return d, nil
}

// isAgent tells whether a type is that of a program that speaks for many.
func isAgent(raw json.RawMessage) bool {
	return slices.ContainsFunc(members(raw), func(m json.RawMessage) bool {
		t := strings.TrimPrefix(text(m), "as:")
		return t == "Application" || t == "Service"
	})
}

func readKey(o object) keyObject {
	k := keyObject{
		id: text(o["id"]), owner: text(o["owner"]),
		pem: text(o["publicKeyPem"]), multibase: text(o["publicKeyMultibase"]),
	}
	if k.owner == "" {
		k.owner = text(o["controller"])
	}
	return k
}

// text is a JSON string, or "" for anything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// members are the elements of an array, of a long one the first, or the value itself.
func members(raw json.RawMessage) []json.RawMessage {
	var list [maxMembers]json.RawMessage
	if json.Unmarshal(raw, &list) == nil {
		return slices.DeleteFunc(list[:], func(m json.RawMessage) bool { return m == nil })
	}
	if len(raw) == 0 {
		return nil
	}
	return []json.RawMessage{raw}
}

// actorLike says whether the document speaks as an actor and not as a key.
func (d document) actorLike() bool {
	return d.self.pem == "" && d.self.multibase == "" && (d.inbox || len(d.keys)+len(d.listed) > 0)
}

// claims is the actor that a document which is not an actor's own says the key
// belongs to: a key document's owner, or the id of the actor whose stub it is.
// It is a hint where to look and no more.
func (d document) claims(keyID string) string {
	if d.id == keyID || (d.id != "" && d.owner != "") {
		return d.owner
	}
	return d.id
}

// owned finds the key in the actor's own document d. The key itself may be in
// elsewhere, its document at the same host, when d only lists it.
func (d document) owned(keyID string, elsewhere document) (Key, error) {
	for _, k := range d.keys {
		// The actor's id as key id means the first key (Emissary).
		if k.id != keyID && d.id != keyID {
			continue
		}
		if k.owner != "" && k.owner != d.id {
			return Key{}, fmt.Errorf("%w: %q is embedded with owner %q by %q", ErrNoKey, keyID, k.owner, d.id)
		}
		if k.id == "" && k.owner == "" {
			continue // nothing ties it to anybody
		}
		if !k.empty() {
			return d.finish(keyID, k)
		}
		return d.listedElsewhere(keyID, elsewhere)
	}
	if slices.Contains(d.listed, keyID) {
		return d.listedElsewhere(keyID, elsewhere)
	}
	return Key{}, fmt.Errorf("%w: %q does not list %q", ErrNoKey, d.id, keyID)
}

func (k keyObject) empty() bool { return k.pem == "" && k.multibase == "" }

// listedElsewhere takes a key that the actor lists from the document at the
// key's own id: either that document is the key, or it embeds it.
func (d document) listedElsewhere(keyID string, doc document) (Key, error) {
	for _, k := range append([]keyObject{doc.self}, doc.keys...) {
		if k.id == keyID && !k.empty() && (k.owner == "" || k.owner == d.id) {
			return d.finish(keyID, k)
		}
	}
	return Key{}, fmt.Errorf("%w: %q is listed by its actor, but is nowhere to be read", ErrNoKey, keyID)
}

func (d document) finish(keyID string, k keyObject) (Key, error) {
	var public crypto.PublicKey
	var err error
	if k.pem != "" {
		public, err = readPEM(k.pem)
	} else {
		public, err = readMultikey(k.multibase)
	}
	if err != nil {
		return Key{}, fmt.Errorf("%w: key %q: %w", ErrNoKey, keyID, err)
	}
	return Key{ID: keyID, Actor: d.id, Name: d.name[:min(len(d.name), maxName)], Agent: d.agent, Public: public}, nil
}
