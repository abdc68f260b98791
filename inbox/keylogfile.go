package inbox

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/sealgate/sealgate/inbox/mls"
)

// LogFile is a key log, or the part of it in one answer, as its owner gets it and
// `sealgate keys verify` reads it.
type LogFile struct {
	Context   string     `json:"@context"`
	ID        string     `json:"id"`
	Type      string     `json:"type"`
	Actor     string     `json:"attributedTo"`
	PublicKey []byte     `json:"publicKey"` // Ed25519, base64
	Total     uint64     `json:"totalItems"`
	Next      string     `json:"next,omitempty"`
	Entries   []LogEntry `json:"orderedItems"`
}

// logLine is a LogEntry in JSON; bytes are base64.
type logLine struct {
	N            uint64 `json:"n"`
	Previous     []byte `json:"previous"`
	Time         string `json:"time"`
	Action       Action `json:"action"`
	Package      string `json:"package"`
	Device       string `json:"device"`
	Suite        uint16 `json:"suite"`
	Ref          []byte `json:"ref"`
	SignatureKey []byte `json:"signatureKeySHA256"`
	Signature    []byte `json:"signature"`
}

// MarshalJSON implements json.Marshaler.
func (e LogEntry) MarshalJSON() ([]byte, error) {
	return json.Marshal(logLine{
		N: e.N, Previous: e.Previous[:], Time: e.Time.UTC().Format(time.RFC3339), Action: e.Action,
		Package: e.Package, Device: e.Device, Suite: uint16(e.Suite), Ref: e.Ref,
		SignatureKey: e.SignatureKey[:], Signature: e.Signature,
	})
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *LogEntry) UnmarshalJSON(b []byte) error {
	var l logLine
	if err := json.Unmarshal(b, &l); err != nil {
		return err
	}
	at, err := time.Parse(time.RFC3339, l.Time)
	if err != nil {
		return fmt.Errorf("entry %d: %w", l.N, err)
	}
	if len(l.Previous) != len(e.Previous) || len(l.SignatureKey) != len(e.SignatureKey) {
		return fmt.Errorf("entry %d: a hash has not %d bytes", l.N, len(e.Previous))
	}
	*e = LogEntry{
		N: l.N, Previous: [32]byte(l.Previous), Time: at.UTC(), Action: l.Action, Package: l.Package, Device: l.Device,
		Suite: mls.Suite(l.Suite), Ref: l.Ref, SignatureKey: [32]byte(l.SignatureKey), Signature: l.Signature,
	}
	return nil
}
