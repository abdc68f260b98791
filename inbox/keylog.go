package inbox

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/sealgate/sealgate/inbox/mls"
)

// ErrKeyLog means that a key log is not what the gateway wrote.
var ErrKeyLog = errors.New("inbox: key log does not verify")

// Action is what a log entry says happened to a package.
type Action string

// The actions.
const (
	ActionPropose Action = "propose" // published to its owner alone
	ActionPublish Action = "publish" // published to everybody
	ActionUpdate  Action = "update"  // published in the place of another, whose id it has
	ActionAdd     Action = "add"     // a proposed one is now for everybody
	ActionRemove  Action = "remove"  // its owner took it back, with Remove or Delete
)

// Head is the end of a log: how many entries it has, and the hash of the last.
type Head struct {
	Count uint64
	Hash  [32]byte
}

// LogEntry is one line of a person's key log. Each holds the hash of the one
// before, and the gateway's signature over its own.
type LogEntry struct {
	N            uint64 // 1, 2, 3…
	Previous     [32]byte
	Time         time.Time // to the second
	Action       Action
	Package      string // Package.ID
	Device       string // Device.ID
	Suite        mls.Suite
	Ref          []byte   // see RefOf
	SignatureKey [32]byte // SHA-256 of the leaf's signature key
	Signature    []byte   // Ed25519 over the hash; see Sum
}

// logContext begins what is hashed, so that it can never be read as anything else.
const logContext = "Sealgate key log 1"

// Sum is the entry's hash: SHA-256 over the context string and every field but the
// signature, the actor's id among them, so that an entry cannot move into another
// person's log. Texts are preceded by their length in 8 bytes; integers have 8.
func (e *LogEntry) Sum(actor string) [32]byte {
	b := make([]byte, 0, 512)
	text := func(s string) { b = append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...) }
	text(logContext)
	text(actor)
	b = binary.BigEndian.AppendUint64(b, e.N)
	b = append(b, e.Previous[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time.Unix()))
	text(string(e.Action))
	text(e.Package)
	text(e.Device)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Suite))
	text(string(e.Ref))
	b = append(b, e.SignatureKey[:]...)
	return sha256.Sum256(b)
}

// write appends an entry to the change's log: numbered, chained and signed.
func (c *Change) write(e LogEntry, actor string, key ed25519.PrivateKey) {
	e.N, e.Previous = c.Log.Count+1, c.Log.Hash
	sum := e.Sum(actor)
	e.Signature = ed25519.Sign(key, sum[:])
	c.Entries = append(c.Entries, e)
	c.Log = Head{Count: e.N, Hash: sum}
}

// VerifyLog checks that entries follow head without a gap, each chained to the one
// before and signed with key, and gives the new head. The zero Head is the
// beginning. The error, an ErrKeyLog, names the first entry that is wrong.
func VerifyLog(head Head, entries []LogEntry, actor string, key ed25519.PublicKey) (Head, error) {
	for i := range entries {
		e := &entries[i]
		sum := e.Sum(actor)
		switch {
		case e.N != head.Count+1:
			return head, fmt.Errorf("%w: entry %d stands where %d belongs", ErrKeyLog, e.N, head.Count+1)
		case e.Previous != head.Hash:
			return head, fmt.Errorf("%w: entry %d does not continue entry %d", ErrKeyLog, e.N, head.Count)
		case !ed25519.Verify(key, sum[:], e.Signature):
			return head, fmt.Errorf("%w: entry %d was changed or is signed with another key", ErrKeyLog, e.N)
		}
		head = Head{Count: e.N, Hash: sum}
	}
	return head, nil
}

// RefOf is how a package is named here: its KeyPackageRef (RFC 9420 §5.2), or
// SHA-256 of its bytes where the suite's hash is not known.
func RefOf(k *mls.KeyPackage) []byte {
	if ref, err := k.Ref(); err == nil {
		return ref
	}
	sum := sha256.Sum256(k.Encoding())
	return sum[:]
}
