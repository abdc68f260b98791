package storage

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/sealgate/sealgate/inbox"
)

// The first byte of every key.
const (
	formatKey  = 'f'
	bucketKey  = 'b'
	mailboxKey = 'u'
	messageKey = 'm'
	onceKey    = 'o'
	findKey    = 'i'
	personKey  = 'p'
	valueKey   = 'k'
	signInKey  = 'a'
	queueKey   = 'q'
	sentKey    = 's'
	nameKey    = 'w'
	journalKey = 'j'
	ledgerKey  = 'r'
	shareKey   = 'h'
	threadKey  = 'c'
	claimKey   = 'e'
	memberKey  = 'g'
	answerKey  = 'y'
)

// hashed is an HMAC-SHA-256 cut to 128 bits: fixed in size whatever ids peers
// think up, and no help to whoever sees keys without the secret.
type hashed [16]byte

// keyring derives all keys that stand for somebody's name.
type keyring struct{ secret []byte }

func (k keyring) hash(kind byte, parts ...string) hashed {
	h := hmac.New(sha256.New, k.secret)
	h.Write([]byte{kind})
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return hashed(h.Sum(nil)[:16])
}

func (k keyring) box(o inbox.Owner) hashed { return k.hash(mailboxKey, string(o)) }

func (k keyring) once(m *inbox.Message) hashed {
	return k.hash(onceKey, string(m.Owner), m.Actor, m.ActivityID)
}

func (k keyring) find(o inbox.Owner, id string) hashed { return k.hash(findKey, string(o), id) }

func (k keyring) person(id string) hashed { return k.hash(personKey, id) }

func (h hashed) key(kind byte) []byte {
	return append([]byte{kind}, h[:]...)
}

func bucketKeyOf(serial uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{bucketKey}, serial)
}

// bucketPrefix is what all messages of a bucket begin with.
func bucketPrefix(serial uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{messageKey}, serial)
}

func messageKeyOf(serial uint32, box hashed, p inbox.Position, part uint8) []byte {
	key := make([]byte, 0, 1+4+16+8+1)
	key = append(key, messageKey)
	key = binary.BigEndian.AppendUint32(key, serial)
	key = append(key, box[:]...)
	key = binary.BigEndian.AppendUint64(key, uint64(p))
	return append(key, part)
}
