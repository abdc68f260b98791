package intake

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"

	"github.com/sealgate/sealgate/inbox/mls"
	"github.com/sealgate/sealgate/policy/rules"
)

// mark is how a string begins that is a message of MLS 1.0 in base64 (RFC 9420 §6): the version, and the first byte of the wire format.
const mark = `"AAEA`

// atSight is the stage that a body claims to be at, as StageOf says, if its messages are written as nearly everybody writes
// them: framed, in base64 without escapes. It costs a search of the body. False: nothing was found, which says nothing.
func atSight(body []byte) (at rules.Stage, ok bool) {
	for {
		n := bytes.Index(body, []byte(mark))
		if n < 0 {
			return at, ok
		}
		body = body[n+1:]
		switch formatOf(body) {
		case mls.FormatWelcome:
			return rules.Contact, true
		case mls.FormatPublicMessage, mls.FormatPrivateMessage:
			at, ok = rules.Group, true
		}
	}
}

// formatOf is the wire format of a message in base64, 0 if there is none.
func formatOf(text []byte) mls.WireFormat {
	var head [6]byte
	if len(text) < 8 {
		return 0
	}
	if _, err := base64.StdEncoding.Decode(head[:], text[:8]); err != nil {
		return 0
	}
	return mls.WireFormat(binary.BigEndian.Uint16(head[2:]))
}
