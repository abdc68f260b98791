package storage

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/sealgate/sealgate/inbox"
	"github.com/sealgate/sealgate/policy/mastodon"
	"github.com/sealgate/sealgate/policy/oauth"
	"github.com/sealgate/sealgate/relay/outbox"
)

// kind is what must be known of every kind of row: to whom it belongs. A row of a kind that is not in kinds
// cannot be written, so none is forgotten when a person's data are exported or erased.
//
// Exactly one of owned, fades and ours is set.
type kind struct {
	what string // its name in exports and in the retention table of docs/operations.md

	// owned says whether the row is of that person alone. Rows come in the order of keys.
	owned func(w *whose, row *badger.Entry) bool
	// fades: the key is a hash of several names, which nobody can trace back to one of them, the value tells
	// of nobody, and the row goes by itself.
	fades bool
	// ours: it tells of no person.
	ours bool

	show func(row *badger.Entry) (any, error) // for the export; nil: the bytes
}

// kinds by the first byte of the key.
var kinds = map[byte]kind{
	formatKey:  {what: "format", ours: true},
	bucketKey:  {what: "span of time", ours: true},
	mailboxKey: {what: "mailbox", owned: func(w *whose, r *badger.Entry) bool { return w.is(r.Key[1:]) }},
	messageKey: {what: "message", owned: func(w *whose, r *badger.Entry) bool { return w.is(r.Key[5:]) }, show: showMessage},
	onceKey:    {what: "accepted before", fades: true},
	findKey:    {what: "activity id", fades: true},
	personKey:  {what: "local person", owned: (*whose).person, show: showText},
	valueKey:   {what: "kept value", owned: func(w *whose, r *badger.Entry) bool { return strings.HasSuffix(string(r.Key), "/"+w.Account) }, show: showText},
	signInKey:  {what: "sign-in", owned: (*whose).signIn, show: showSignIn},
	queueKey:   {what: "delivery", owned: (*whose).delivery, show: showJSON[outbox.Delivery]},
	sentKey:    {what: "sent activity", owned: (*whose).sent, show: showSent},
	nameKey:    {what: "name of a sent activity", owned: func(w *whose, r *badger.Entry) bool { return w.sents[hashed(r.Value)] }},
	threadKey:  {what: "line of a conversation", fades: true},
	claimKey:   {what: "commit for an epoch", fades: true},
	memberKey:  {what: "membership in a group", fades: true},
	poolKey:    {what: "key package", owned: func(w *whose, r *badger.Entry) bool { return w.is(r.Key[1:]) }, show: showPackage},
	contentKey: {what: "content of a key package", owned: func(w *whose, r *badger.Entry) bool { return w.is(r.Key[1:]) }},
	logKey:     {what: "key log", owned: func(w *whose, r *badger.Entry) bool { return w.is(r.Key[1:]) }, show: showEntry},
	journalKey: {what: "policy decision", fades: true}, // ids in it are hashed; the change log beside it tells of nobody
	traceKey:   {what: "trace of a key package", owned: (*whose).trace},
	ledgerKey:  {what: "group or request", owned: (*whose).ledger, show: showLedger},
	shareKey:   {what: "share of a mailbox", fades: true},
	answerKey:  {what: "answer of the instance", owned: func(w *whose, r *badger.Entry) bool { return w.is(r.Key[1:]) }, show: showText},
}

// whose is the person to whom rows may belong.
type whose struct {
	mastodon.Person
	home   string            // accountKey
	hashes []hashed          // all that stand for the person alone
	sents  map[hashed]bool   // what they sent, as far as it was seen
	before map[string]string // their messages' rows that could not be traced later
	keys   keyring
}

func (s *Store) whose(p mastodon.Person) *whose {
	o, k := inbox.Owner(p.Account), s.keys
	w := &whose{Person: p, home: accountKey(p.Account), sents: map[hashed]bool{}, before: map[string]string{}, keys: k}
	w.hashes = []hashed{k.box(o), k.pool(o), k.hash(signInKey, p.Account), k.hash(answerKey, p.Account)}
	for _, id := range p.Keys() {
		w.hashes = append(w.hashes, k.person(id))
	}
	return w
}

// is says whether rest begins with a hash of the person.
func (w *whose) is(rest []byte) bool {
	for _, h := range w.hashes {
		if bytes.HasPrefix(rest, h[:]) {
			return true
		}
	}
	return false
}

// has says whether row belongs to the person, and takes down what will be needed of later rows.
func (w *whose) has(row *badger.Entry) bool {
	k := kinds[row.Key[0]]
	owned := k.owned != nil && k.owned(w, row)
	if owned && row.Key[len(row.Key)-1] == 0 {
		switch {
		case row.Key[0] == messageKey:
			w.note(decodeMessage(inbox.Owner(w.Account), row.Value))
		case row.Key[0] == ledgerKey && inbox.RowKind(row.Key[1]) == inbox.WaitingRow:
			w.note(inbox.DecodeWaiting(inbox.Owner(w.Account), row.Value))
		}
	}
	return owned
}

// note derives the rows beside a message that its key alone does not lead to.
func (w *whose) note(m inbox.Message, err error) {
	if err != nil {
		return
	}
	w.before[string(w.keys.share(w.keys.box(m.Owner), m.Actor).key(shareKey))] = kinds[shareKey].what
	w.before[string(w.keys.once(&m).key(onceKey))] = kinds[onceKey].what
	w.before[string(w.keys.find(m.Owner, m.ActivityID).key(findKey))] = kinds[findKey].what
}

// person owns the row of all their names, former ones too.
func (w *whose) person(row *badger.Entry) bool {
	return w.is(row.Key[1:]) || string(row.Value) == w.home
}

func (w *whose) signIn(row *badger.Entry) bool {
	if row.Key[1] == deviceKind {
		return w.is(row.Key[2:])
	}
	var n oauth.Note
	return json.Unmarshal(row.Value, &n) == nil && (n.Account == w.Account || n.Grant != nil && n.Grant.Account == w.Account)
}

func (w *whose) delivery(row *badger.Entry) bool {
	var d outbox.Delivery
	return json.Unmarshal(row.Value, &d) == nil && d.Sender.Account == w.Account
}

// sent knows the later parts by the first.
func (w *whose) sent(row *badger.Entry) bool {
	h := hashed(row.Key[1 : 1+len(hashed{})])
	if row.Key[len(row.Key)-1] == 0 {
		one, err := decodeSent(row.Value)
		w.sents[h] = err == nil && one.Actor == w.Actor
	}
	return w.sents[h]
}

// ledger knows whose a row is by its key, or, where it is of a list of everybody's, by its value.
func (w *whose) ledger(row *badger.Entry) bool {
	if inbox.RowKind(row.Key[1]) != inbox.DueRow {
		return w.is(row.Key[2:])
	}
	o, err := inbox.DueOwner(row.Value)
	return err == nil && o == inbox.Owner(w.Account)
}

func (w *whose) trace(row *badger.Entry) bool {
	t, err := decodeTrace("", row.Value)
	return err == nil && t.Owner == inbox.Owner(w.Account)
}
