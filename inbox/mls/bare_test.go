package mls_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/sealgate/sealgate/inbox/mls"
)

// Bare and framed packages of all suites begin alike; the whole of them decides.
func TestBareAndFramed(t *testing.T) {
	for suite := mls.Suite(0); suite <= 9; suite++ {
		b := newDraft(t, suite).bytes(t)
		if m := parse(t, b); m.Framed || m.KeyPackage == nil || m.KeyPackage.Suite != suite || !bytes.Equal(m.AppendTo(nil), b) {
			t.Errorf("bare package of suite %d: framed %v, format %d", suite, m.Framed, m.WireFormat)
		}
		framed := append(u16(nil, 1, 5), b...)
		m := parse(t, framed)
		if !m.Framed || m.KeyPackage == nil || m.KeyPackage.Suite != suite || !bytes.Equal(m.AppendTo(nil), framed) {
			t.Errorf("framed package of suite %d: framed %v, format %d", suite, m.Framed, m.WireFormat)
		}
		if !bytes.Equal(m.KeyPackage.Encoding(), b) {
			t.Errorf("suite %d: the encoding holds the frame", suite)
		}
	}
}

// With unlucky keys a bare package is also a complete frame. It stays a key package.
func TestBarePackageThatIsAlsoAFrame(t *testing.T) {
	for suite, format := range map[mls.Suite]mls.WireFormat{1: mls.FormatPublicMessage, 2: mls.FormatPrivateMessage} {
		d := newDraft(t, suite)
		d.leafSignature = func([]byte) []byte { return make([]byte, 64) } // so that every draft is as long
		d.signature = d.leafSignature
		header := len(vec(nil, d.encKey)) - len(d.encKey)
		afterEpoch := d.encKey[8-header:]
		// To a frame of format 1 this is: a new member, no authenticated data, an application
		// message; to one of format 2: an application message, neither authenticated nor
		// sender data. Then comes a vector that takes up what follows.
		copy(afterEpoch, map[mls.WireFormat][]byte{mls.FormatPublicMessage: {3, 0, 1}, mls.FormatPrivateMessage: {1, 0, 0}}[format])
		rest := len(d.bytes(t)) - bytes.Index(d.bytes(t), afterEpoch) - 5
		if format == mls.FormatPublicMessage {
			rest-- // the last zero of the package is the empty signature of the frame
		}
		binary.BigEndian.PutUint16(afterEpoch[3:], 0x4000|uint16(rest))
		b := d.bytes(t)
		if !completesFrame(b, format) {
			t.Fatalf("suite %d: the package is no frame, the test is void", suite)
		}
		if m := parse(t, b); m.Framed || m.KeyPackage == nil {
			t.Errorf("suite %d: read as wire format %d", suite, m.WireFormat)
		}
	}
}

// completesFrame reads b as that frame, independently of the package under test.
func completesFrame(b []byte, format mls.WireFormat) bool {
	b = b[4:]
	take := func() {
		n, h := int(b[0]&0x3f), 1
		if b[0]>>6 == 1 {
			n, h = n<<8|int(b[1]), 2
		}
		b = b[h+n:]
	}
	take() // group id
	b = b[8:]
	if format == mls.FormatPublicMessage {
		b = b[1:] // sender: a new member
		take()    // authenticated data
		b = b[1:] // content type
		take()
		take() // signature
		return len(b) == 0
	}
	b = b[1:]
	take()
	take()
	take()
	return len(b) == 0
}

// No message of a real client is taken for a bare package, nor the other way round.
func TestRealFramesStayFrames(t *testing.T) {
	for _, f := range peerFiles(t) {
		for _, v := range f.Vectors {
			if m := parse(t, v.Hex); m.Framed != v.Framed {
				t.Errorf("%s %s of suite %d: framed %v", f.Generator, v.Name, v.Suite, m.Framed)
			}
		}
	}
}
